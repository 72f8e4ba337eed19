use std::sync::Arc;

use ipnet::IpNet;
use ir::{
    ConnectionRate, ConnectionRules, KernelMode, KeyedRate, PrefixLimit, RefusalAction, SourceKey,
    SourceLimit, SourceNetworks, TlvHeader, canonical_network,
};
use manifest::{
    Object, SpecState,
    kind::{self, ConnectionActionType},
};

use super::notes::{Notes, Remarks};
use crate::{attach::Policies, report::Report};

/// What a ConnectionPolicy comes to, wherever it is attached.
#[derive(Debug, Default)]
pub(crate) struct ConnectionPolicy {
    pub(crate) rules: Arc<ConnectionRules>,
    pub(crate) remarks: Remarks,
}

/// One for each policy, in the same order.
#[derive(Debug)]
pub(crate) struct ConnectionPolicies(pub(crate) Vec<ConnectionPolicy>);

impl ConnectionPolicies {
    /// `mode`: whether there is a kernel half that may drop.
    pub(crate) fn new(
        policies: &Policies<'_, kind::ConnectionPolicy>,
        mode: KernelMode,
        report: &mut Report,
    ) -> Self {
        let policies = policies.policies.iter();
        Self(policies.map(|state| connection_policy(state.policy, mode, report)).collect())
    }
}

fn connection_policy(
    policy: &Object<kind::ConnectionPolicy>,
    mode: KernelMode,
    report: &mut Report,
) -> ConnectionPolicy {
    match &policy.spec {
        SpecState::Good(spec) | SpecState::Stale(spec, _) => {
            let mut notes = Notes::new(policy, report);
            let rules = rules(spec);
            if let Some(why) = never_drops(&rules, mode) {
                notes.warning("spec.action.type", why.to_owned());
            }
            ConnectionPolicy { rules: rules.into(), remarks: notes.remarks() }
        }
        SpecState::Refused(why) => {
            ConnectionPolicy { remarks: Remarks::never_good(why), ..ConnectionPolicy::default() }
        }
    }
}

fn rules(spec: &kind::ConnectionPolicy) -> ConnectionRules {
    let kind::ConnectionPolicy {
        target_refs: _,
        key,
        client_cidrs,
        concurrent_connections,
        connection_rate,
        proxy_protocol,
        action,
        dry_run,
    } = spec;
    let policy_key = key.unwrap_or_default();
    let kind::ConcurrentConnections { per_source, per_prefix } = concurrent_connections.unwrap_or_default();
    let kind::ConnectionRates { per_listener, per_source: source_rate } = connection_rate.unwrap_or_default();
    let trusted_senders = proxy_protocol.as_ref().and_then(|proxy| proxy.trusted_senders.as_deref());
    let headers = proxy_protocol.as_ref().and_then(|proxy| proxy.headers.as_deref());
    ConnectionRules {
        networks: client_cidrs.as_ref().map(|cidrs| networks(cidrs, policy_key)).unwrap_or_default(),
        per_source: per_source
            .map(|kind::PerSource { limit, key }| SourceLimit { limit, key: key.unwrap_or(policy_key) }),
        per_prefix: per_prefix.map(|limit| prefix_limit(limit, policy_key)),
        source_rate: source_rate.map(|rate| keyed_rate(rate, policy_key)),
        listener_rate: per_listener.map(|rate| keyed_rate(rate, policy_key)),
        trusted_senders: trusted_senders.map(canonical),
        tlv_headers: headers.unwrap_or_default().iter().filter_map(tlv_header).collect(),
        action: action.map(refusal_action).unwrap_or_default(),
        dry_run: dry_run.unwrap_or_default(),
    }
}

/// `None` for what is no name, which the schema has refused already.
fn tlv_header(spec: &kind::ProxyProtocolHeader) -> Option<TlvHeader> {
    let kind::ProxyProtocolHeader { name, tlv } = spec;
    Some(TlvHeader { name: name.parse().ok()?, tlv: *tlv })
}

fn networks(spec: &kind::ClientCidrs, policy_key: SourceKey) -> SourceNetworks {
    let kind::ClientCidrs { deny, allow, exempt, key } = spec;
    SourceNetworks {
        deny: canonical(deny.as_deref().unwrap_or_default()),
        allow: canonical(allow.as_deref().unwrap_or_default()),
        exempt: canonical(exempt.as_deref().unwrap_or_default()),
        key: key.unwrap_or(policy_key),
    }
}

fn canonical(networks: &[IpNet]) -> Vec<IpNet> {
    networks.iter().copied().map(canonical_network).collect()
}

fn prefix_limit(spec: kind::PerPrefix, policy_key: SourceKey) -> PrefixLimit {
    let kind::PerPrefix { limit, ipv4_prefix_length, ipv6_prefix_length, key } = spec;
    PrefixLimit {
        limit,
        ipv4_prefix_length: ipv4_prefix_length.unwrap_or(24),
        ipv6_prefix_length: ipv6_prefix_length.unwrap_or(64),
        key: key.unwrap_or(policy_key),
    }
}

fn keyed_rate(spec: kind::Rate, policy_key: SourceKey) -> KeyedRate {
    let kind::Rate { connections, unit, burst, key } = spec;
    let rate =
        ConnectionRate { connections, unit: unit.unwrap_or_default(), burst: burst.unwrap_or(connections) };
    KeyedRate { rate, key: key.unwrap_or(policy_key) }
}

fn refusal_action(spec: kind::ConnectionAction) -> RefusalAction {
    let kind::ConnectionAction { kind, close_delay } = spec;
    match kind {
        ConnectionActionType::Reset => RefusalAction::Reset,
        ConnectionActionType::Drop => RefusalAction::Drop,
        ConnectionActionType::CloseAfterDelay => {
            RefusalAction::CloseAfterDelay(close_delay.map(ir::Duration::std).unwrap_or_default())
        }
    }
}

/// Why rules that ask for it never drop anybody; `None`: they may, or do not ask for it.
fn never_drops(rules: &ConnectionRules, mode: KernelMode) -> Option<&'static str> {
    let ConnectionRules {
        networks: SourceNetworks { deny, allow, exempt: _, key: listed },
        per_source,
        per_prefix,
        source_rate,
        listener_rate,
        trusted_senders: _,
        tlv_headers: _,
        action,
        dry_run: _,
    } = rules;
    if !matches!(action, RefusalAction::Drop) {
        return None;
    }
    if mode == KernelMode::Off {
        return Some("the kernel drops, and the Appliance has it off: whoever is refused is reset");
    }
    let keys = [
        per_source.map(|limit| limit.key),
        per_prefix.map(|limit| limit.key),
        source_rate.map(|rate| rate.key),
        listener_rate.map(|rate| rate.key),
        (!deny.is_empty() || !allow.is_empty()).then_some(*listed),
    ];
    let is_at_the_syn = keys.into_iter().flatten().any(|key| key == SourceKey::Peer);
    (!is_at_the_syn).then_some(
        "the kernel drops at the SYN, where the peer is known, and nothing here goes by it: whoever is refused is reset",
    )
}
