use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
};

use ir::{ListenerId, UpstreamId};

use crate::{
    metrics::Metrics,
    refusal::Refusal,
    slots::{GateState, Slots, Tracked, UserSlots},
    telling::Telling,
};

/// What outlives a reload, keyed by stable ids. The maps are locked only while a snapshot is built; the
/// snapshot holds the entries, and what the cores share through them is atomics.
pub(crate) struct Carry {
    /// Client connections past accept, over all listeners.
    pub(crate) connections: Arc<dyn Slots>,
    /// Refused connections that are held open for a while, over all listeners.
    pub(crate) held: Arc<dyn Slots>,
    /// What is told of refused connections.
    pub(crate) telling: Telling,
    /// Every metric of the data plane.
    pub(crate) metrics: Metrics,
    descriptor_cap: u64,
    listeners: Mutex<HashMap<ListenerId, Arc<dyn Slots>>>,
    gates: Mutex<HashMap<ListenerId, Arc<GateState>>>,
    /// How many listeners have had a connection policy.
    owners: AtomicU32,
    tracked: Arc<Tracked>,
    upstreams: Mutex<HashMap<UpstreamId, Arc<UpstreamState>>>,
}

/// Most refused connections that are held open at an instant, and most sources that are kept track of, in some
/// 150 MB: over all listeners.
const HELD: u64 = 1_024;
const TRACKED: usize = 1_000_000;

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
            held: Arc::new(UserSlots::new(Refusal::OverGlobalLimit)),
            telling: metrics.telling(),
            tracked: Arc::new(metrics.tracked(TRACKED)),
            metrics,
            descriptor_cap,
            listeners: Mutex::default(),
            gates: Mutex::default(),
            owners: AtomicU32::new(0),
            upstreams: Mutex::default(),
        }
    }

    /// True: another connection would be spent on descriptors that are reserved.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        self.connections.open() + self.held.open() >= self.descriptor_cap
    }

    /// Most refused connections that may be held: descriptors are for others.
    pub(crate) fn held_most(&self) -> u64 {
        HELD.min(self.descriptor_cap / 8)
    }

    /// What is counted for a listener's connection policy.
    pub(crate) fn gate(&self, id: &ListenerId) -> Arc<GateState> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(GateState::new(self.owners.fetch_add(1, Ordering::Relaxed), &self.tracked));
        Arc::clone(gates.entry(id.clone()).or_insert_with(new))
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
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, state| Arc::strong_count(state) > 1);
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        upstreams.retain(|_, state| Arc::strong_count(state) > 1);
    }
}
