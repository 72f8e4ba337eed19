use std::sync::Arc;

use prometheus::proto;

use super::{
    cells::Cells,
    series::Series,
    table::{
        MIRRORED_REQUESTS, UPSTREAM_CONNECTIONS_OPEN, UPSTREAM_FAILURES, UPSTREAM_REQUESTS, UPSTREAM_RETRIES,
    },
};

/// Envoy's response flags that an attempt can fail with; the last takes any other.
const REASONS: [&str; 11] = ["UF", "UH", "UO", "UC", "UR", "UT", "UPE", "LR", "DC", "SI", "other"];

const REQUESTS: usize = 0;
const OPENED: usize = 1;
const CLOSED: usize = 2;
const MIRRORED: usize = 3;
const MIRROR_FAILED: usize = 4;
const RETRIED: usize = 5;
const RETRY_FAILED: usize = 6;
const FIRST_REASON: usize = 7;

/// Handles of one backend, shared by its uses in different rules.
pub(crate) struct UpstreamMetrics {
    upstream: Arc<str>,
    cells: Cells<{ FIRST_REASON + REASONS.len() }>,
}

impl UpstreamMetrics {
    pub(super) fn new(upstream: Arc<str>) -> Self {
        Self { upstream, cells: Cells::new() }
    }

    /// A request is sent to an endpoint.
    pub(crate) fn requested(&self) {
        self.cells.add(REQUESTS, 1);
    }

    /// An attempt failed with this response flag.
    pub(crate) fn failed(&self, flag: &str) {
        let place = REASONS.iter().position(|reason| *reason == flag).unwrap_or(REASONS.len() - 1);
        self.cells.add(FIRST_REASON + place, 1);
    }

    /// A copy of a request has had its answer, or has failed.
    pub(crate) fn mirrored(&self, answered: bool) {
        self.cells.add(if answered { MIRRORED } else { MIRROR_FAILED }, 1);
    }

    /// An attempt that a rule's `retry` has added is what the request comes to, or has failed.
    pub(crate) fn retried(&self, answered: bool) {
        self.cells.add(if answered { RETRIED } else { RETRY_FAILED }, 1);
    }

    /// A connection to an endpoint was established.
    pub(crate) fn opened(&self) {
        self.cells.add(OPENED, 1);
    }

    /// The same connection was closed.
    pub(crate) fn closed(&self) {
        self.cells.add(CLOSED, 1);
    }
}

impl Series for UpstreamMetrics {
    const FAMILIES: &[super::Family] = &[
        MIRRORED_REQUESTS,
        UPSTREAM_CONNECTIONS_OPEN,
        UPSTREAM_FAILURES,
        UPSTREAM_REQUESTS,
        UPSTREAM_RETRIES,
    ];

    fn collect(&self, into: &mut [Vec<proto::Metric>]) {
        let [mirrored, open, failures, requests, retries] = into else { return };
        let closed = self.cells.sum(CLOSED);
        let opened = self.cells.sum(OPENED);
        open.push(UPSTREAM_CONNECTIONS_OPEN.series(&[&self.upstream], opened.saturating_sub(closed)));
        requests.push(UPSTREAM_REQUESTS.series(&[&self.upstream], self.cells.sum(REQUESTS)));
        for (place, result) in [(MIRRORED, "answered"), (MIRROR_FAILED, "failed")] {
            let count = self.cells.sum(place);
            if count > 0 {
                mirrored.push(MIRRORED_REQUESTS.series(&[&self.upstream, result], count));
            }
        }
        for (place, result) in [(RETRIED, "answered"), (RETRY_FAILED, "failed")] {
            let count = self.cells.sum(place);
            if count > 0 {
                retries.push(UPSTREAM_RETRIES.series(&[&self.upstream, result], count));
            }
        }
        for (place, reason) in REASONS.iter().enumerate() {
            let count = self.cells.sum(FIRST_REASON + place);
            if count > 0 {
                failures.push(UPSTREAM_FAILURES.series(&[&self.upstream, reason], count));
            }
        }
    }
}
