use std::{net::IpAddr, sync::Arc};

use bpf::{Networks, Policy, PrefixLimit, Rate};
use ir::{Bind, ConnectionRules, KeyedRate, Protocol, RefusalAction, SourceKey, SourceNetworks};

/// What the kernel enforces of a bind's ConnectionPolicy: what goes by the peer, which is known with the SYN. `None`:
/// nothing. User space enforces the whole of it in any case.
pub(super) fn of(bind: &Bind) -> Option<Arc<Policy>> {
    let [first, others @ ..] = bind.listeners.as_slice() else { return None };
    let rules = first.connection.as_deref()?;
    let ConnectionRules {
        networks,
        per_source,
        per_prefix,
        source_rate,
        listener_rate,
        trusted_senders: _,
        action,
        dry_run,
    } = rules;
    // Whoever is held for a while has to be let in, and so has who is only told of.
    if *dry_run || action.close_delay().is_some() {
        return None;
    }
    let by_peer = |key: SourceKey| key == SourceKey::Peer;
    // Clear-text listeners of a port share the first one's. Which TLS listener a connection is for is known only later:
    // what all of them have can be said of none of them, except who may connect.
    let is_one = bind.protocol == Protocol::Http || others.is_empty();
    if !is_one && !others.iter().all(|other| other.connection.as_deref() == Some(rules)) {
        return None;
    }
    let policy = Policy {
        networks: Arc::new(networks_of(networks, is_one)),
        per_source: per_source.filter(|limit| is_one && by_peer(limit.key)).map(|limit| limit.limit),
        per_prefix: per_prefix.filter(|limit| is_one && by_peer(limit.key)).map(|limit| PrefixLimit {
            most: limit.limit,
            ipv4_bits: limit.ipv4_prefix_length,
            ipv6_bits: limit.ipv6_prefix_length,
        }),
        source_rate: source_rate.filter(|rate| is_one && by_peer(rate.key)).map(rate),
        listener_rate: listener_rate.filter(|rate| is_one && by_peer(rate.key)).map(rate),
        drop: matches!(action, RefusalAction::Drop),
    };
    let Policy { networks: _, per_source, per_prefix, source_rate, listener_rate, drop: _ } = &policy;
    let limits =
        per_source.is_some() || per_prefix.is_some() || source_rate.is_some() || listener_rate.is_some();
    let lists = by_peer(networks.key) && !(networks.deny.is_empty() && networks.allow.is_empty());
    (limits || lists).then(|| Arc::new(policy))
}

/// `limits`: there are some that sources may be exempt from.
fn networks_of(networks: &SourceNetworks, limits: bool) -> Networks {
    let SourceNetworks { deny, allow, exempt, key } = networks;
    let pairs = |networks: &[ipnet::IpNet]| -> Vec<(IpAddr, u8)> {
        networks.iter().map(|network| (network.addr(), network.prefix_len())).collect()
    };
    let (deny, allow) = match key {
        SourceKey::Peer => (pairs(deny), pairs(allow)),
        SourceKey::ProxySource => Default::default(),
    };
    let exempt = if limits { pairs(exempt) } else { Vec::new() };
    Networks::new(&deny, &allow, &exempt)
}

fn rate(rate: KeyedRate) -> Rate {
    Rate { interval: rate.rate.interval(), burst: rate.rate.burst }
}
