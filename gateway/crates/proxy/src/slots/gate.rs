mod books;
mod state;

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use ir::{ConnectionRules, KeyedRate, PrefixLimit, SourceKey, SourceLimit};

use super::networks::{NetworkSet, network};
use crate::{refusal::Refusal, sources::Source};
pub use books::Check;
use books::{Books, Looking, Shared, Taking};
pub(crate) use state::{GateState, Held};

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
        self.walk(stage, address, &mut Taking { state: &self.state, passes, now })
    }

    /// Judges as [`Gate::admit`] would at this moment, and takes nothing. `found` hears of each check in its order.
    pub(crate) fn look(
        &self,
        stage: Stage,
        source: &Source,
        found: &mut impl FnMut(Check),
    ) -> Result<(), Refusal> {
        let now = self.state.now();
        self.walk(stage, stage.address(source), &mut Looking { state: &self.state, found, now })
    }

    /// True: there is something to be exempt from.
    fn has_limits_at(&self, stage: Stage) -> bool {
        let ConnectionRules { per_source, per_prefix, source_rate, listener_rate, .. } = &*self.rules;
        let rates = [source_rate, listener_rate].into_iter().flatten().map(|rate| rate.key);
        let limits = per_source.iter().map(|limit| limit.key).chain(per_prefix.iter().map(|limit| limit.key));
        rates.chain(limits).any(|key| Stage::of(key) == stage)
    }

    /// The checks of a stage in their order, in earnest or not.
    fn walk(&self, stage: Stage, address: IpAddr, books: &mut impl Books) -> Result<(), Refusal> {
        let is_due = |key: SourceKey| Stage::of(key) == stage;
        if is_due(self.rules.networks.key) {
            let denied = self.deny.find(address);
            if !self.deny.is_empty() {
                books.found(Check::Deny { address, network: denied });
            }
            if denied.is_some() {
                return Err(Refusal::SourceDenied);
            }
            if !self.allow.is_empty() {
                let allowed = self.allow.find(address);
                books.found(Check::Allow { address, network: allowed });
                if allowed.is_none() {
                    return Err(Refusal::SourceNotAllowed);
                }
            }
        }
        if let Some(network) = self.exempt.find(address) {
            if self.has_limits_at(stage) {
                books.found(Check::Exempt { address, network });
            }
            return Ok(());
        }
        if let Some(SourceLimit { limit, key }) = self.rules.per_source.filter(|limit| is_due(limit.key))
            && !books.open(Shared::Source, address.into(), key, limit)
        {
            return Err(Refusal::OverSourceLimit);
        }
        if let Some(limit) = self.rules.per_prefix.filter(|limit| is_due(limit.key))
            && let Some(prefix) = prefix(address, limit)
            && !books.open(Shared::Prefix, prefix, limit.key, limit.limit)
        {
            return Err(Refusal::OverPrefixLimit);
        }
        if let Some(KeyedRate { rate, key }) = self.rules.source_rate.filter(|rate| is_due(rate.key))
            && !books.spend(address, key, rate)
        {
            return Err(Refusal::OverSourceRate);
        }
        if let Some(KeyedRate { rate, .. }) = self.rules.listener_rate.filter(|rate| is_due(rate.key))
            && !books.spend_of_all(rate)
        {
            return Err(Refusal::OverListenerRate);
        }
        Ok(())
    }
}

/// The network around an address that a limit counts together.
fn prefix(address: IpAddr, limit: PrefixLimit) -> Option<IpNet> {
    let PrefixLimit { limit: _, ipv4_prefix_length, ipv6_prefix_length, key: _ } = limit;
    let length = if address.is_ipv4() { ipv4_prefix_length } else { ipv6_prefix_length };
    network(address, length)
}

/// What a connection has taken of its listener's connection policy; dropping it gives it back. It lives in the
/// socket, behind the descriptor, so that the descriptor is closed first.
#[derive(Default)]
pub(crate) struct Passes {
    /// By source, and by prefix.
    taken: [Option<Held>; 2],
    /// True: a dry run has said that it would be refused, and has nothing more to say.
    pub(crate) waved_through: bool,
}

impl Passes {
    /// What a reload has made the connection take twice, at two stages, is given back once.
    fn take(&mut self, which: Shared, held: Held) {
        self.taken[which as usize] = Some(held);
    }

    /// Gives back what was taken.
    pub(crate) fn free(&mut self) {
        self.taken = [None, None];
    }
}

#[cfg(test)]
mod tests;
