use std::{net::IpAddr, sync::Arc};

use bpf::{Networks, Policy, PrefixLimit, Proxied, Rate};
use ir::{Bind, ConnectionRules, KeyedRate, Protocol, RefusalAction, SourceKey, SourceNetworks};

/// What the kernel enforces of a bind's ConnectionPolicy with the SYN: what goes by the peer. `None`: nothing. User space
/// enforces the whole of it in any case.
pub(super) fn of(bind: &Bind) -> Option<Arc<Policy>> {
    let (rules, is_one) = rules(bind)?;
    let policy = by(SourceKey::Peer, rules, is_one);
    asks(&policy, rules, SourceKey::Peer).then(|| Arc::new(policy))
}

/// What it enforces once the PROXY header has been read, where one may come. Connections are counted by user space, which
/// says who has enough.
pub(super) fn proxied(bind: &Bind, config: &ir::Gateway) -> Option<Proxied> {
    let optional = bind.client.proxy_protocol?.optional;
    let own = bind.listeners.first().and_then(|first| first.connection.as_deref());
    let senders = own.and_then(|rules| rules.trusted_senders.as_deref());
    let senders = senders.unwrap_or(&config.appliance.trusted_proxy_senders);
    let policy =
        rules(bind).map(|(rules, is_one)| by(SourceKey::ProxySource, rules, is_one)).unwrap_or_default();
    Some(Proxied {
        senders: Arc::new(Networks::of_senders(&pairs(senders))),
        optional,
        policy: Arc::new(policy),
    })
}

/// The rules that hold for every connection of a bind, and whether all of them are those of one listener.
fn rules(bind: &Bind) -> Option<(&ConnectionRules, bool)> {
    let [first, others @ ..] = bind.listeners.as_slice() else { return None };
    let rules = first.connection.as_deref()?;
    // Whoever is held for a while has to be let in, and so has who is only told of.
    if rules.dry_run || rules.action.close_delay().is_some() {
        return None;
    }
    // Clear-text listeners of a port share the first one's. Which TLS listener a connection is for is known only later:
    // what all of them have can be said of none of them, except who may connect.
    let is_one = bind.protocol == Protocol::Http || others.is_empty();
    let is_same = others.iter().all(|other| other.connection.as_deref() == Some(rules));
    (is_one || is_same).then_some((rules, is_one))
}

/// What goes by that key.
fn by(key: SourceKey, rules: &ConnectionRules, is_one: bool) -> Policy {
    let ConnectionRules {
        networks,
        per_source,
        per_prefix,
        source_rate,
        listener_rate,
        trusted_senders: _,
        tlv_headers: _,
        action,
        dry_run: _,
    } = rules;
    let is_meant = |other: SourceKey| is_one && other == key;
    Policy {
        networks: Arc::new(networks_of(networks, key, is_one)),
        per_source: per_source.filter(|limit| is_meant(limit.key)).map(|limit| limit.limit),
        per_prefix: per_prefix.filter(|limit| is_meant(limit.key)).map(|limit| PrefixLimit {
            most: limit.limit,
            ipv4_bits: limit.ipv4_prefix_length,
            ipv6_bits: limit.ipv6_prefix_length,
        }),
        source_rate: source_rate.filter(|rate| is_meant(rate.key)).map(rate),
        listener_rate: listener_rate.filter(|rate| is_meant(rate.key)).map(rate),
        drop: matches!(action, RefusalAction::Drop),
    }
}

/// True: the policy may refuse somebody.
fn asks(policy: &Policy, rules: &ConnectionRules, key: SourceKey) -> bool {
    let Policy { networks: _, per_source, per_prefix, source_rate, listener_rate, drop: _ } = policy;
    let limits =
        per_source.is_some() || per_prefix.is_some() || source_rate.is_some() || listener_rate.is_some();
    let SourceNetworks { deny, allow, exempt: _, key: listed } = &rules.networks;
    limits || *listed == key && !(deny.is_empty() && allow.is_empty())
}

/// `limits`: there may be some that sources are exempt from.
fn networks_of(networks: &SourceNetworks, by: SourceKey, limits: bool) -> Networks {
    let SourceNetworks { deny, allow, exempt, key } = networks;
    let (deny, allow) = if *key == by { (pairs(deny), pairs(allow)) } else { Default::default() };
    let exempt = if limits { pairs(exempt) } else { Vec::new() };
    Networks::new(&deny, &allow, &exempt)
}

fn pairs(networks: &[ipnet::IpNet]) -> Vec<(IpAddr, u8)> {
    networks.iter().map(|network| (network.addr(), network.prefix_len())).collect()
}

fn rate(rate: KeyedRate) -> Rate {
    Rate { interval: rate.rate.interval(), burst: rate.rate.burst }
}
