use std::{sync::Arc, time::Duration};

use ipnet::IpNet;
use ir::{ConnectionRate, ListenerId, SourceKey};

use crate::{
    slots::{
        Count, Counted,
        bucket::{Moved, Pace, SharedBucket},
        kept::Way,
        tracked::{Place, TrackKey, Tracked},
    },
    sources::{Below, Full},
};

/// What is carried of a listener's connection policy. Once a successor keeps it, it is asked and told.
pub(crate) struct GateState {
    listener: ListenerId,
    /// Apart from every other listener's in the table.
    owner: u32,
    bucket: SharedBucket,
    tracked: Arc<Tracked>,
    way: Way,
    full: Full,
}

/// A connection that is counted; dropping it ends that.
pub(crate) struct Held {
    state: Arc<GateState>,
    place: Place,
    /// Of one that is counted by the source in its PROXY header: that source, or its network.
    proxied: Option<IpNet>,
}

impl GateState {
    /// Nothing counted yet.
    pub(crate) fn new(
        listener: ListenerId,
        owner: u32,
        tracked: &Arc<Tracked>,
        way: &Way,
        below: &Below,
    ) -> Self {
        let (tracked, way) = (Arc::clone(tracked), way.clone());
        Self { listener, owner, bucket: SharedBucket::default(), tracked, way, full: Full::new(below) }
    }

    /// What its times count in.
    pub(super) fn now(&self) -> u64 {
        self.tracked.now()
    }

    /// Counts a connection of an address or network, unless as many as `limit` are open.
    pub(super) fn open(
        state: &Arc<Self>,
        network: IpNet,
        key: SourceKey,
        limit: u32,
        now: u64,
    ) -> Option<Held> {
        let track = TrackKey::new(state.owner, network, key);
        let proxied = (key == SourceKey::ProxySource).then_some(network);
        let place = match state.tracked.open_here(track, limit, now) {
            Ok(Some(place)) => Some(place),
            Ok(None) => {
                if let Some(network) = proxied {
                    let is_full = || state.tracked.is_full(track, limit);
                    state.full.refused(&state.listener, network, is_full);
                }
                None
            }
            Err(Moved) => match state.way.take(&state.counted(network, key), Some(limit.into())) {
                Some(true) => state.tracked.open(track, u32::MAX, now),
                Some(false) => None,
                None => state.tracked.open(track, limit, now),
            },
        };
        let place = place?;
        Some(Held { state: Arc::clone(state), place, proxied })
    }

    /// Connections of an address or network that are counted here, at this moment.
    pub(super) fn count(&self, network: IpNet, key: SourceKey) -> u32 {
        self.tracked.look(TrackKey::new(self.owner, network, key)).0
    }

    /// Tokens that are left in an address's bucket or, without a source, in the listener's.
    pub(super) fn left(&self, source: Option<(IpNet, SourceKey)>, rate: ConnectionRate, now: u64) -> u64 {
        let pace = Pace::new(rate);
        match source {
            Some((network, key)) => {
                let (_, bucket) = self.tracked.look(TrackKey::new(self.owner, network, key));
                bucket.left(pace, now)
            }
            None => self.bucket.left(pace, now),
        }
    }

    /// The rules are others from now on: what is told of full sources may not hold any more.
    pub(crate) fn has_new_rules(&self) {
        self.full.forget(&self.listener);
    }

    /// As [`GateState::open`], for a connection that another process serves.
    pub(crate) fn open_foreign(
        state: &Arc<Self>,
        network: IpNet,
        key: SourceKey,
        limit: u32,
    ) -> Option<Held> {
        Self::open(state, network, key, limit, state.now())
    }

    /// Takes a token of an address's bucket.
    pub(super) fn spend(&self, network: IpNet, key: SourceKey, rate: ConnectionRate, now: u64) -> bool {
        let (track, pace) = (TrackKey::new(self.owner, network, key), Pace::new(rate));
        self.tracked.spend_here(track, pace, now).unwrap_or_else(|Moved| {
            let spent = self.way.spend(&self.counted(network, key), rate);
            spent.unwrap_or_else(|| self.tracked.spend(track, pace, now))
        })
    }

    /// Takes a token of the listener's bucket.
    pub(super) fn spend_shared(&self, rate: ConnectionRate, now: u64) -> bool {
        let pace = Pace::new(rate);
        self.bucket.take(pace, now).unwrap_or_else(|Moved| {
            let spent = self.way.spend(&Counted::Listener(self.listener.clone()), rate);
            spent.unwrap_or_else(|| self.bucket.take_here(pace, now))
        })
    }

    /// As [`GateState::spend`] and, without a source, [`GateState::spend_shared`], for another process.
    pub(crate) fn spend_foreign(&self, source: Option<(IpNet, SourceKey)>, rate: ConnectionRate) -> bool {
        match source {
            Some((network, key)) => self.spend(network, key, rate, self.now()),
            None => self.spend_shared(rate, self.now()),
        }
    }

    /// Leaves in a bucket no more than what another process has left in it.
    pub(crate) fn drain_to(&self, source: Option<(IpNet, SourceKey)>, full_in: Duration) {
        let (full_in, now) = (u64::try_from(full_in.as_nanos()).unwrap_or(u64::MAX), self.now());
        match source {
            Some((network, key)) => {
                self.tracked.drain_to(TrackKey::new(self.owner, network, key), full_in, now);
            }
            None => self.bucket.drain_to(full_in, now),
        }
    }

    /// From now on a successor keeps the listener's bucket. How long until it is full.
    pub(crate) fn hand_over(&self) -> Duration {
        self.full.forget(&self.listener);
        Duration::from_nanos(self.bucket.hand_over(self.now()))
    }

    /// Undoes [`GateState::hand_over`].
    pub(crate) fn take_back(&self) {
        self.bucket.take_back();
    }

    /// True if a row of the table is this one's.
    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    /// The policy's listener.
    pub(crate) fn listener(&self) -> &ListenerId {
        &self.listener
    }

    fn counted(&self, network: IpNet, key: SourceKey) -> Counted {
        Counted::Source { listener: self.listener.clone(), network, key }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Self { state, place, proxied } = self;
        if let Some((network, key)) = state.tracked.close(*place, state.now()).and_then(|key| key.parts()) {
            state.way.free(&state.counted(network, key));
        }
        if let Some(network) = *proxied {
            state.full.freed(&state.listener, network);
        }
    }
}

impl Tracked {
    /// From now on a successor keeps the table. What it is to begin with, by the listener of each owner.
    pub(crate) fn counts(&self, listener: impl Fn(u32) -> Option<ListenerId>) -> Vec<Count> {
        let count = |(key, open, full_in): (TrackKey, u32, u64)| {
            let (network, by) = key.parts()?;
            let of = Counted::Source { listener: listener(key.owner())?, network, key: by };
            Some(Count { of, open: open.into(), full_in: Duration::from_nanos(full_in) })
        };
        self.hand_over(self.now()).into_iter().filter_map(count).collect()
    }
}
