use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize},
    },
};

use ir::{ListenerId, UpstreamId};

use crate::{
    metrics::Metrics,
    refusal::Refusal,
    slots::{Slots, UserSlots},
};

/// What outlives a reload, keyed by stable ids. The maps are locked only while a snapshot is built; the
/// snapshot holds the entries, and what the cores share through them is atomics.
pub(crate) struct Carry {
    /// Client connections past accept, over all listeners.
    pub(crate) connections: Arc<dyn Slots>,
    /// Every metric of the data plane.
    pub(crate) metrics: Metrics,
    descriptor_cap: u64,
    listeners: Mutex<HashMap<ListenerId, Arc<dyn Slots>>>,
    upstreams: Mutex<HashMap<UpstreamId, Arc<UpstreamState>>>,
}

/// What is carried of an upstream.
#[derive(Debug, Default)]
pub(crate) struct UpstreamState {
    /// Round-robin cursor over the endpoints.
    pub(crate) cursor: AtomicUsize,
    /// Open connections, over all workers and endpoints.
    pub(crate) connections: AtomicU64,
    /// Requests in flight, over all workers and endpoints.
    pub(crate) requests: AtomicU64,
}

impl Carry {
    /// Nothing carried yet. At `descriptor_cap` connections accepting pauses.
    pub(crate) fn new(metrics: Metrics, descriptor_cap: u64) -> Self {
        Self {
            connections: Arc::new(UserSlots::new(Refusal::OverGlobalLimit)),
            metrics,
            descriptor_cap,
            listeners: Mutex::default(),
            upstreams: Mutex::default(),
        }
    }

    /// True: another connection would be spent on descriptors that are reserved.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        self.connections.open() >= self.descriptor_cap
    }

    /// The connection count of a listener.
    pub(crate) fn slots(&self, id: &ListenerId) -> Arc<dyn Slots> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = listeners
            .entry(id.clone())
            .or_insert_with(|| Arc::new(UserSlots::new(Refusal::OverConnectionLimit)));
        Arc::clone(entry)
    }

    /// The carried state of an upstream.
    pub(crate) fn upstream(&self, id: &UpstreamId) -> Arc<UpstreamState> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(upstreams.entry(id.clone()).or_default())
    }

    /// Forgets what neither a snapshot nor a connection refers to any more.
    pub(crate) fn prune(&self) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|_, slots| Arc::strong_count(slots) > 1);
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        upstreams.retain(|_, state| Arc::strong_count(state) > 1);
    }
}
