use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ir::{ListenerId, UpstreamId};
use prometheus::IntGauge;

use crate::{
    metrics::Metrics,
    refusal::Refusal,
    slots::{Count, Counted, GateState, Keeper, Kept, Slots, Tracked, UserSlots, Way},
    sources::Below,
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
    /// Those of `connections` that a predecessor serves.
    pub(crate) foreign: IntGauge,
    /// Every metric of the data plane.
    pub(crate) metrics: Metrics,
    /// Who sees connections before they are accepted.
    pub(crate) below: Below,
    descriptor_cap: u64,
    listeners: Mutex<HashMap<ListenerId, Arc<dyn Slots>>>,
    gates: Mutex<HashMap<ListenerId, Arc<GateState>>>,
    /// How many listeners have had a connection policy.
    owners: AtomicU32,
    tracked: Arc<Tracked>,
    /// To the successor, once there is one.
    way: Way,
    upstreams: Mutex<HashMap<UpstreamId, Arc<UpstreamState>>>,
}

/// Most refused connections that are held open at an instant, and most sources that are kept track of, in some
/// 113 MB: over all listeners.
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
        let way = Way::default();
        let connections = Kept::new(Counted::Connections, &way);
        Self {
            connections: Arc::new(UserSlots::new(Refusal::OverGlobalLimit, connections)),
            held: Arc::new(UserSlots::new(Refusal::OverGlobalLimit, Kept::here())),
            foreign: metrics.predecessor_connections(),
            way,
            telling: metrics.telling(),
            tracked: Arc::new(metrics.tracked(TRACKED)),
            metrics,
            below: Below::default(),
            descriptor_cap,
            listeners: Mutex::default(),
            gates: Mutex::default(),
            owners: AtomicU32::new(0),
            upstreams: Mutex::default(),
        }
    }

    /// True: another connection would be spent on descriptors that are reserved.
    pub(crate) fn is_out_of_descriptors(&self) -> bool {
        self.own_connections() + self.held.open() >= self.descriptor_cap
    }

    /// Client connections past accept that this process serves.
    pub(crate) fn own_connections(&self) -> u64 {
        let foreign = u64::try_from(self.foreign.get()).unwrap_or(0);
        self.connections.open().saturating_sub(foreign)
    }

    /// Most refused connections that may be held: descriptors are for others.
    pub(crate) fn held_most(&self) -> u64 {
        HELD.min(self.descriptor_cap / 8)
    }

    /// What is counted for a listener's connection policy.
    pub(crate) fn gate(&self, id: &ListenerId) -> Arc<GateState> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let owner = self.owners.fetch_add(1, Ordering::Relaxed);
            Arc::new(GateState::new(id.clone(), owner, &self.tracked, &self.way, &self.below))
        };
        Arc::clone(gates.entry(id.clone()).or_insert_with(new))
    }

    /// Every worker serves other rules: what those below were told by the rules before may not hold any more.
    pub(crate) fn has_new_rules(&self) {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.values().for_each(|state| state.has_new_rules());
    }

    /// The connection count of a listener.
    pub(crate) fn slots(&self, id: &ListenerId) -> Arc<dyn Slots> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = listeners.entry(id.clone()).or_insert_with(|| {
            let kept = Kept::new(Counted::Listener(id.clone()), &self.way);
            Arc::new(UserSlots::new(Refusal::OverConnectionLimit, kept))
        });
        Arc::clone(entry)
    }

    /// From now on a successor counts. What it is to begin with; nobody accepts any more, or what is accepted while
    /// this is put together is in it or told to `keeper`.
    pub(crate) fn hand_over(&self, keeper: Arc<dyn Keeper>) -> Vec<Count> {
        self.way.lead_to(Some(keeper));
        let slots = |of: Counted, open| Count { of, open, full_in: Duration::ZERO };
        let mut counts = vec![slots(Counted::Connections, self.connections.hand_over())];
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let listener =
            |(id, own): (&ListenerId, &Arc<dyn Slots>)| slots(Counted::Listener(id.clone()), own.hand_over());
        counts.extend(listeners.iter().map(listener));
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        counts.extend(gates.values().map(|state| {
            let of = Counted::Listener(state.listener().clone());
            Count { of, open: 0, full_in: state.hand_over() }
        }));
        let owners: HashMap<u32, &ListenerId> =
            gates.values().map(|state| (state.owner(), state.listener())).collect();
        counts.extend(self.tracked.counts(|owner| owners.get(&owner).map(|id| (*id).clone())));
        counts.retain(|count| count.open > 0 || !count.full_in.is_zero());
        counts
    }

    /// Undoes [`Carry::hand_over`]: the successor is none.
    pub(crate) fn take_back(&self) {
        self.way.lead_to(None);
        self.connections.take_back();
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .for_each(|own| own.take_back());
        self.gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .for_each(|state| state.take_back());
        self.tracked.take_back();
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
