use std::{collections::BTreeMap, net::SocketAddr};

use bpf::{Limit, Limits, QuotaId};
use ir::{Bind, ListenerId, Protocol, Transport};

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

/// Which listener a quota's refusals are shown under: the first of its bind, since a SYN names none.
pub(super) fn listeners(config: &ir::Gateway) -> BTreeMap<QuotaId, ListenerId> {
    let first = |bind: &Bind| Some((quota(bind), bind.listeners.first()?.id.clone()));
    config.binds.iter().filter_map(first).collect()
}

/// Which quota each listener's connections count towards.
pub(super) fn quotas(config: &ir::Gateway) -> BTreeMap<ListenerId, QuotaId> {
    let of_bind = |bind: &Bind| {
        let quota = quota(bind);
        bind.listeners.iter().map(move |listener| (listener.id.clone(), quota)).collect::<Vec<_>>()
    };
    config.binds.iter().flat_map(of_bind).collect()
}

fn quota(bind: &Bind) -> QuotaId {
    QuotaId::of(&bind.id.0)
}

/// Clear-text listeners of a port share the first one's count and limit. Which TLS listener a connection is for is
/// known only later: the kernel lets in what all of them together may have, if all have a limit.
fn most(bind: &Bind) -> Option<u64> {
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
            let names = listeners(&config);
            assert_eq!(&*names[&quotas[0]].0, "default/eg/l0");
        }
    }
}
