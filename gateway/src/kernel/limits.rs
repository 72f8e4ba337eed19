use std::{collections::BTreeMap, net::SocketAddr};

use bpf::{Limit, Limits, QuotaId};
use ir::{Bind, ListenerId, PolicyName, PolicyNames, Protocol, SourceKey, Transport};

use super::policy;

/// Every listening address of a configuration with what the kernel may let in there: the addresses of a bind
/// count together, as its listeners do in user space.
pub(super) fn of(config: &ir::Gateway) -> Limits {
    let mut limits = Limits::new();
    for bind in &config.binds {
        let limit = Limit {
            quota: quota(bind),
            most: most(bind),
            policy: policy::of(bind),
            proxied: policy::proxied(bind, config),
        };
        for key in bind.sockets.iter().filter(|key| key.transport == Transport::Tcp) {
            // A socket that two binds name is the first one's, as in the proxy.
            limits.entry(SocketAddr::new(key.address, key.port)).or_insert_with(|| limit.clone());
        }
    }
    limits
}

/// What a quota's refusals are shown under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// The first of its bind, since a SYN names none.
    pub(super) listener: ListenerId,
    /// The policies that govern every listener of the bind.
    pub(super) policies: PolicyNames,
}

impl Shown {
    /// The policy that the kernel refuses by for this reason.
    pub(super) fn policy(&self, reason: &str) -> Option<&PolicyName> {
        match reason {
            "over_connection_limit" => self.policies.client.as_ref(),
            "proxy_untrusted" | "proxy_malformed" => None,
            _ => self.policies.connection.as_ref(),
        }
    }
}

/// What the refusals of each quota are shown under.
pub(super) fn shown(config: &ir::Gateway) -> BTreeMap<QuotaId, Shown> {
    let of = |bind: &Bind| {
        let first = bind.listeners.first()?;
        let same = |of: fn(&PolicyNames) -> &Option<PolicyName>| {
            // Clear-text listeners of a port are governed by the first one's.
            let agree = bind.protocol == Protocol::Http
                || bind.listeners.iter().all(|other| of(&other.policies) == of(&first.policies));
            of(&first.policies).clone().filter(|_| agree)
        };
        let policies = PolicyNames {
            client: same(|policies| &policies.client),
            connection: same(|policies| &policies.connection),
        };
        Some((quota(bind), Shown { listener: first.id.clone(), policies }))
    };
    config.binds.iter().filter_map(of).collect()
}

/// Which quota each listener's connections count towards.
pub(super) fn quotas(config: &ir::Gateway) -> BTreeMap<ListenerId, QuotaId> {
    let of_bind = |bind: &Bind| {
        let quota = quota(bind);
        bind.listeners.iter().map(move |listener| (listener.id.clone(), quota)).collect::<Vec<_>>()
    };
    config.binds.iter().flat_map(of_bind).collect()
}

pub(super) fn quota(bind: &Bind) -> QuotaId {
    QuotaId::of(&bind.id.0)
}

/// True: the kernel refuses connections to this port for this reason, as metrics name it, before they are accepted.
pub(crate) fn refuses(bind: &Bind, reason: &str) -> bool {
    match reason {
        "over_connection_limit" => most(bind).is_some(),
        _ => policy::of(bind).is_some_and(|policy| asks(bind, &policy, SourceKey::Peer, reason)),
    }
}

/// True: it refuses them for this reason once their PROXY header has been read, if that comes in one piece.
pub(crate) fn refuses_by_header(bind: &Bind, config: &ir::Gateway, reason: &str) -> bool {
    policy::proxied(bind, config).is_some_and(|proxied| match reason {
        "proxy_untrusted" | "proxy_malformed" => true,
        _ => asks(bind, &proxied.policy, SourceKey::ProxySource, reason),
    })
}

fn asks(bind: &Bind, policy: &bpf::Policy, key: SourceKey, reason: &str) -> bool {
    let rules = bind.listeners.first().and_then(|listener| listener.connection.as_deref());
    let lists = rules.map(|rules| &rules.networks).filter(|networks| networks.key == key);
    match reason {
        "source_denied" => lists.is_some_and(|networks| !networks.deny.is_empty()),
        "source_not_allowed" => lists.is_some_and(|networks| !networks.allow.is_empty()),
        "over_source_limit" => policy.per_source.is_some(),
        "over_prefix_limit" => policy.per_prefix.is_some(),
        "over_source_rate" => policy.source_rate.is_some(),
        "over_listener_rate" => policy.listener_rate.is_some(),
        _ => false,
    }
}

/// True: what the kernel refuses at this port for this reason gets no answer.
pub(crate) fn drops(bind: &Bind, reason: &str) -> bool {
    reason != "over_connection_limit" && policy::of(bind).is_some_and(|policy| policy.drop)
}

/// The number of connections at which the kernel refuses more at this port; `None`: it does not. Clear-text listeners of
/// a port share the first one's count and limit. Which TLS listener a connection is for is
/// known only later: the kernel lets in what all of them together may have, if all have a limit.
pub(crate) fn most(bind: &Bind) -> Option<u64> {
    // Who is over a limit with a delay is held, which the kernel cannot: it lets everybody in.
    let limit = |listener: &std::sync::Arc<ir::Listener>| {
        let limit = listener.client.connection.limit.filter(|limit| limit.close_delay.is_none());
        limit.map(|limit| limit.value)
    };
    match bind.protocol {
        Protocol::Http => bind.listeners.first().and_then(limit),
        Protocol::Https if bind.listeners.is_empty() => None,
        Protocol::Https => {
            bind.listeners.iter().map(limit).try_fold(0u64, |sum, most| Some(sum.saturating_add(most?)))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ir::{BindId, ClientSettings, ConnectionLimit, Listener, SocketKey};

    use super::*;

    fn bind(protocol: Protocol, limits: &[Option<u64>]) -> Bind {
        let listener = |(number, limit): (usize, &Option<u64>)| {
            let mut client = ClientSettings::default();
            client.connection.limit = limit.map(|value| ConnectionLimit { value, close_delay: None });
            let id = ListenerId(format!("default/eg/l{number}").into());
            Arc::new(Listener {
                id,
                hostname: None,
                tls: None,
                client: Arc::new(client),
                connection: None,
                hosts: Vec::new(),
                policies: PolicyNames::default(),
                broken: false,
            })
        };
        let sockets = ["0.0.0.0", "::"].map(|address| SocketKey {
            transport: Transport::Tcp,
            address: address.parse().expect("an address"),
            port: 8443,
        });
        Bind {
            id: BindId("default/eg:8443/TCP".into()),
            sockets: sockets.to_vec(),
            protocol,
            client: Arc::default(),
            listeners: limits.iter().enumerate().map(listener).collect(),
        }
    }

    #[test]
    fn a_limit_with_a_delay_is_for_user_space() {
        let mut bind = bind(Protocol::Http, &[Some(5)]);
        let mut listener = (*bind.listeners[0]).clone();
        let mut client = (*listener.client).clone();
        let delay = Some(std::time::Duration::from_secs(1));
        client.connection.limit = Some(ConnectionLimit { value: 5, close_delay: delay });
        listener.client = Arc::new(client);
        bind.listeners = vec![Arc::new(listener)];
        let config = ir::Gateway { binds: vec![bind], ..ir::Gateway::default() };
        assert!(of(&config).values().all(|limit| limit.most.is_none()));
    }

    #[test]
    fn refusals_are_shown_under_a_policy_where_every_listener_of_the_socket_has_it() {
        let policy = |name: &str| Some(PolicyName(name.into()));
        for (protocol, second, client) in [
            (Protocol::Http, "default/b", policy("default/a")),
            (Protocol::Https, "default/b", None),
            (Protocol::Https, "default/a", policy("default/a")),
        ] {
            let mut bind = bind(protocol, &[Some(5), Some(5)]);
            for (listener, name) in bind.listeners.iter_mut().zip(["default/a", second]) {
                let policies = PolicyNames { client: policy(name), connection: policy("default/s") };
                *listener = Arc::new(Listener { policies, ..(**listener).clone() });
            }
            let quota = quota(&bind);
            let shown = &shown(&ir::Gateway { binds: vec![bind], ..ir::Gateway::default() })[&quota];
            assert_eq!(shown.policy("over_connection_limit"), client.as_ref(), "{protocol:?} {second}");
            assert_eq!(shown.policy("source_denied"), policy("default/s").as_ref());
        }
    }

    #[test]
    fn the_kernel_lets_in_what_the_listeners_of_a_socket_may_have_together() {
        let cases = [
            (Protocol::Http, vec![Some(5), Some(7)], Some(5)),
            (Protocol::Http, vec![None, Some(7)], None),
            (Protocol::Https, vec![Some(5), Some(7)], Some(12)),
            (Protocol::Https, vec![Some(5), None], None),
            (Protocol::Https, vec![Some(u64::MAX), Some(7)], Some(u64::MAX)),
        ];
        for (protocol, limits, expected) in cases {
            let config = ir::Gateway { binds: vec![bind(protocol, &limits)], ..ir::Gateway::default() };
            let rows = of(&config);
            assert_eq!(rows.len(), 2, "one per address");
            assert!(rows.values().all(|limit| limit.most == expected), "{protocol:?} {limits:?}: {rows:?}");
            let quotas: Vec<QuotaId> = rows.values().map(|limit| limit.quota).collect();
            assert_eq!(quotas[0], quotas[1], "both count together");
            assert_eq!(&*shown(&config)[&quotas[0]].listener.0, "default/eg/l0");
        }
    }
}
