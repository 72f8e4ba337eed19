use std::{net::IpAddr, sync::Arc, time::Instant};

use ir::{ConnectionRules, KeyedRate, PrefixLimit, SourceKey, SourceLimit};

use super::{
    bucket::{Pace, SharedBucket},
    networks::{NetworkSet, network},
    tracked::{Place, TrackKey, Tracked},
};
use crate::{refusal::Refusal, sources::Source};

/// When a connection is judged: what goes by the peer when it is accepted, what goes by the source in the PROXY header
/// when that has been read, or when none is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The peer is known.
    Accepted,
    /// The source is known.
    Identified,
}

impl Stage {
    fn of(key: SourceKey) -> Self {
        match key {
            SourceKey::Peer => Self::Accepted,
            SourceKey::ProxySource => Self::Identified,
        }
    }

    fn address(self, source: &Source) -> IpAddr {
        match self {
            Self::Accepted => source.peer.ip(),
            Self::Identified => source.client().ip(),
        }
    }
}

/// A listener's connection policy at work: rules of the snapshot, counts of `Carry`.
pub(crate) struct Gate {
    rules: Arc<ConnectionRules>,
    deny: NetworkSet,
    allow: NetworkSet,
    exempt: NetworkSet,
    state: Arc<GateState>,
}

/// What is carried of a listener's connection policy.
pub(crate) struct GateState {
    /// Apart from every other listener's in the table.
    owner: u32,
    bucket: SharedBucket,
    tracked: Arc<Tracked>,
    epoch: Instant,
}

impl GateState {
    /// Nothing counted yet.
    pub(crate) fn new(owner: u32, tracked: &Arc<Tracked>) -> Self {
        Self { owner, bucket: SharedBucket::default(), tracked: Arc::clone(tracked), epoch: Instant::now() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Gate {
    /// `None`: the rules refuse nothing, whoever comes.
    pub(crate) fn build(
        rules: &Arc<ConnectionRules>,
        state: impl FnOnce() -> Arc<GateState>,
    ) -> Option<Self> {
        let ConnectionRules {
            networks,
            per_source,
            per_prefix,
            source_rate,
            listener_rate,
            trusted_senders: _,
            tlv_headers: _,
            action: _,
            dry_run: _,
        } = &**rules;
        let limits =
            per_source.is_some() || per_prefix.is_some() || source_rate.is_some() || listener_rate.is_some();
        if !limits && networks.deny.is_empty() && networks.allow.is_empty() {
            return None;
        }
        Some(Self {
            rules: Arc::clone(rules),
            deny: NetworkSet::new(&networks.deny),
            allow: NetworkSet::new(&networks.allow),
            exempt: NetworkSet::new(&networks.exempt),
            state: state(),
        })
    }

    /// The rules at work.
    pub(crate) fn rules(&self) -> &ConnectionRules {
        &self.rules
    }

    /// Judges a connection by what is known of it at a stage. What it takes is in `passes`, and free again when they
    /// are dropped. In a dry run the first refusal is the last: what would not be open is not counted.
    pub(crate) fn admit(&self, stage: Stage, source: &Source, passes: &mut Passes) -> Result<(), Refusal> {
        self.admit_at(stage, stage.address(source), passes, self.state.now())
    }

    fn admit_at(&self, stage: Stage, address: IpAddr, passes: &mut Passes, now: u64) -> Result<(), Refusal> {
        let is_due = |key: SourceKey| Stage::of(key) == stage;
        if is_due(self.rules.networks.key) {
            if self.deny.covers(address) {
                return Err(Refusal::SourceDenied);
            }
            if !self.allow.is_empty() && !self.allow.covers(address) {
                return Err(Refusal::SourceNotAllowed);
            }
        }
        if self.exempt.covers(address) {
            return Ok(());
        }
        let state = &self.state;
        if let Some(SourceLimit { limit, key }) = self.rules.per_source.filter(|limit| is_due(limit.key)) {
            let key = TrackKey::new(state.owner, address.into(), key);
            let place = state.tracked.open(key, limit, now).ok_or(Refusal::OverSourceLimit)?;
            passes.take(0, state, place);
        }
        if let Some(limit) = self.rules.per_prefix.filter(|limit| is_due(limit.key))
            && let Some(key) = prefix_key(state.owner, address, limit)
        {
            let place = state.tracked.open(key, limit.limit, now).ok_or(Refusal::OverPrefixLimit)?;
            passes.take(1, state, place);
        }
        if let Some(KeyedRate { rate, key }) = self.rules.source_rate.filter(|rate| is_due(rate.key)) {
            let key = TrackKey::new(state.owner, address.into(), key);
            if !state.tracked.spend(key, Pace::new(rate), now) {
                return Err(Refusal::OverSourceRate);
            }
        }
        if let Some(KeyedRate { rate, .. }) = self.rules.listener_rate.filter(|rate| is_due(rate.key))
            && !state.bucket.take(Pace::new(rate), now)
        {
            return Err(Refusal::OverListenerRate);
        }
        Ok(())
    }
}

fn prefix_key(owner: u32, address: IpAddr, limit: PrefixLimit) -> Option<TrackKey> {
    let PrefixLimit { limit: _, ipv4_prefix_length, ipv6_prefix_length, key } = limit;
    let length = if address.is_ipv4() { ipv4_prefix_length } else { ipv6_prefix_length };
    network(address, length).map(|network| TrackKey::new(owner, network, key))
}

/// What a connection has taken of its listener's connection policy; dropping it gives it back. It lives in the
/// socket, behind the descriptor, so that the descriptor is closed first.
#[derive(Default)]
pub(crate) struct Passes {
    /// By source, and by prefix.
    taken: [Option<(Arc<GateState>, Place)>; 2],
    /// True: a dry run has said that it would be refused, and has nothing more to say.
    pub(crate) waved_through: bool,
}

impl Passes {
    fn take(&mut self, which: usize, state: &Arc<GateState>, place: Place) {
        if let Some((state, place)) = self.taken[which].replace((Arc::clone(state), place)) {
            // A reload has changed what is counted at which stage, between the two.
            state.tracked.close(place, state.now());
        }
    }

    /// Gives back what was taken.
    pub(crate) fn free(&mut self) {
        for (state, place) in self.taken.iter_mut().filter_map(Option::take) {
            state.tracked.close(place, state.now());
        }
    }
}

impl Drop for Passes {
    fn drop(&mut self) {
        self.free();
    }
}

#[cfg(test)]
mod tests;
