use std::sync::Arc;

use ir::ListenerId;
use prometheus::proto;

use super::{
    cells::Cells,
    rule::RuleMetrics,
    series::Series,
    table::{
        CONNECTIONS_ACCEPTED, CONNECTIONS_DRY_RUN, CONNECTIONS_OPEN, CONNECTIONS_REFUSED,
        PROXY_VALUES_DROPPED,
    },
};
use crate::refusal::Refusal;

/// Where user space refuses; the kernel's tiers count for themselves.
const TIER: &str = "accept";

const OPENED: usize = 0;
const CLOSED: usize = 1;
const DROPPED_TLVS: usize = 2;
const FIRST_REFUSAL: usize = 3;
const FIRST_DRY_RUN: usize = FIRST_REFUSAL + Refusal::ALL.len();

/// Handles of one listener.
pub(crate) struct ListenerMetrics {
    listener: ListenerId,
    cells: Cells<{ FIRST_DRY_RUN + Refusal::ALL.len() }>,
    unrouted: Arc<RuleMetrics>,
}

impl ListenerMetrics {
    pub(super) fn new(listener: ListenerId, unrouted: Arc<RuleMetrics>) -> Self {
        Self { listener, cells: Cells::new(), unrouted }
    }

    /// A connection got past accept (`gateway_connections_accepted_total`, `gateway_connections_open`).
    pub(crate) fn opened(&self) {
        self.cells.add(OPENED, 1);
    }

    /// The same connection was closed.
    pub(crate) fn closed(&self) {
        self.cells.add(CLOSED, 1);
    }

    /// A connection was closed before its first request.
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.count(FIRST_REFUSAL, refusal);
    }

    /// A connection would have been closed before its first request, but for a dry run.
    pub(crate) fn would_refuse(&self, refusal: Refusal) {
        self.count(FIRST_DRY_RUN, refusal);
    }

    /// Request headers were not set from the PROXY header.
    pub(crate) fn dropped_tlvs(&self, headers: u64) {
        self.cells.add(DROPPED_TLVS, headers);
    }

    fn count(&self, first: usize, refusal: Refusal) {
        if let Some(place) = Refusal::ALL.iter().position(|reason| *reason == refusal) {
            self.cells.add(first + place, 1);
        }
    }

    /// Where requests are counted that no rule answers.
    pub(crate) fn unrouted(&self) -> &Arc<RuleMetrics> {
        &self.unrouted
    }
}

impl Series for ListenerMetrics {
    const FAMILIES: &[super::Family] = &[
        CONNECTIONS_ACCEPTED,
        CONNECTIONS_OPEN,
        CONNECTIONS_REFUSED,
        CONNECTIONS_DRY_RUN,
        PROXY_VALUES_DROPPED,
    ];

    fn collect(&self, into: &mut [Vec<proto::Metric>]) {
        let [accepted, open, refused, dry_run, dropped] = into else { return };
        let listener = &*self.listener.0;
        // In this order the difference is never below zero.
        let closed = self.cells.sum(CLOSED);
        let opened = self.cells.sum(OPENED);
        accepted.push(CONNECTIONS_ACCEPTED.series(&[listener], opened));
        open.push(CONNECTIONS_OPEN.series(&[listener], opened.saturating_sub(closed)));
        let values = self.cells.sum(DROPPED_TLVS);
        if values > 0 {
            dropped.push(PROXY_VALUES_DROPPED.series(&[listener], values));
        }
        for (first, family, series) in
            [(FIRST_REFUSAL, CONNECTIONS_REFUSED, refused), (FIRST_DRY_RUN, CONNECTIONS_DRY_RUN, dry_run)]
        {
            for (place, refusal) in Refusal::ALL.iter().enumerate() {
                let count = self.cells.sum(first + place);
                if count > 0 {
                    series.push(family.series(&[listener, TIER, refusal.reason()], count));
                }
            }
        }
    }
}
