use std::sync::Arc;

use ir::ListenerId;
use prometheus::proto;

use super::{
    cells::Cells,
    rule::RuleMetrics,
    series::Series,
    table::{CONNECTIONS_ACCEPTED, CONNECTIONS_OPEN, PROXY_VALUES_DROPPED},
};

const OPENED: usize = 0;
const CLOSED: usize = 1;
const DROPPED_TLVS: usize = 2;

/// Handles of one listener.
pub(crate) struct ListenerMetrics {
    listener: ListenerId,
    cells: Cells<3>,
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

    /// Request headers were not set from the PROXY header.
    pub(crate) fn dropped_tlvs(&self, headers: u64) {
        self.cells.add(DROPPED_TLVS, headers);
    }

    /// Where requests are counted that no rule answers.
    pub(crate) fn unrouted(&self) -> &Arc<RuleMetrics> {
        &self.unrouted
    }
}

impl Series for ListenerMetrics {
    const FAMILIES: &[super::Family] = &[CONNECTIONS_ACCEPTED, CONNECTIONS_OPEN, PROXY_VALUES_DROPPED];

    fn collect(&self, into: &mut [Vec<proto::Metric>]) {
        let [accepted, open, dropped] = into else { return };
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
    }
}
