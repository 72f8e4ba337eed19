use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ir::{Bind, BindId, ClientSettings, Listener, ListenerId, Protocol, SocketKey, Transport};

use manifest::Severity;

use super::{ClientPolicies, ClientPolicy, RouteRules, hosts::Hosts};
use crate::{
    attach::{GatewayState, ListenerPlace, ListenerState, Policies, RouteState},
    report::{Report, line},
    status::{PolicyReason, Reason},
};

/// Every port that is listened on, sorted by id. Warnings go to the policies whose settings of the socket are
/// not in force, because an earlier listener of the port decides them.
pub(crate) fn binds(
    gateways: &[GatewayState<'_>],
    policies: &Policies<'_>,
    clients: &mut ClientPolicies,
    routes: &[RouteState<'_>],
    rules: &[RouteRules],
    report: &mut Report,
) -> Vec<Bind> {
    let mut hosts: BTreeMap<ListenerPlace, Hosts<'_>> = BTreeMap::new();
    for (route, rules) in routes.iter().zip(rules) {
        for (listener, names) in route.parents.iter().flat_map(|parent| &parent.listeners) {
            hosts.entry(*listener).or_default().add(names, rules);
        }
    }
    let mut binds = Vec::new();
    for (place, gateway) in gateways.iter().enumerate() {
        let mut ports: BTreeMap<u16, Vec<ListenerPlace>> = BTreeMap::new();
        for (number, listener) in
            gateway.listeners.iter().enumerate().filter(|(_, state)| state.is_programmed())
        {
            ports.entry(listener.spec.port).or_default().push((place, number));
        }
        for (port, places) in ports {
            report_shared_sockets(gateway, &places, policies, clients, report);
            let listeners = places.iter().map(|place| {
                let state = &gateway.listeners[place.1];
                listener(
                    gateway,
                    state,
                    govern(policies, clients, *place),
                    hosts.remove(place).unwrap_or_default(),
                )
            });
            binds.push(bind(gateway, port, &places, listeners.map(Arc::new).collect()));
        }
    }
    binds.sort_by(|a, b| a.id.cmp(&b.id));
    binds
}

fn govern<'c>(
    policies: &Policies<'_>,
    clients: &'c ClientPolicies,
    listener: ListenerPlace,
) -> Option<&'c ClientPolicy> {
    policies.effective.get(&listener).map(|place| &clients.0[*place])
}

fn bind(
    gateway: &GatewayState<'_>,
    port: u16,
    places: &[ListenerPlace],
    listeners: Vec<Arc<Listener>>,
) -> Bind {
    let (namespace, name) = gateway.key();
    let states: Vec<&ListenerState<'_>> = places.iter().map(|place| &gateway.listeners[place.1]).collect();
    let addresses: &[IpAddr] = states.first().map(|state| state.addresses.as_slice()).unwrap_or_default();
    let socket = |address: &IpAddr| SocketKey { transport: Transport::Tcp, address: *address, port };
    Bind {
        id: BindId(format!("{namespace}/{name}:{port}/{}", Transport::Tcp).into()),
        sockets: addresses.iter().map(socket).collect(),
        protocol: states.first().and_then(|state| state.protocol).unwrap_or(Protocol::Http),
        client: listeners.first().map(|listener| Arc::clone(&listener.client)).unwrap_or_default(),
        listeners,
    }
}

fn listener(
    gateway: &GatewayState<'_>,
    state: &ListenerState<'_>,
    policy: Option<&ClientPolicy>,
    hosts: Hosts<'_>,
) -> Listener {
    let (namespace, name) = gateway.key();
    let default = ClientPolicy::default();
    let is_tls = state.protocol == Some(Protocol::Https);
    let broken =
        policy.is_some_and(|policy| !policy.errors.is_empty() || (is_tls && !policy.tls_errors.is_empty()));
    // A policy that is no good has no say in anything else either.
    let policy = policy.filter(|_| !broken).unwrap_or(&default);
    Listener {
        id: ListenerId(format!("{namespace}/{name}/{}", state.spec.name).into()),
        hostname: state.spec.hostname.clone(),
        tls: if is_tls { policy.tls.of(state) } else { None },
        client: Arc::clone(&policy.settings),
        hosts: hosts.finish(),
        broken,
    }
}

/// Settings of the socket are the first listener's for the whole port, because they act before anyone knows
/// which listener is meant.
fn report_shared_sockets(
    gateway: &GatewayState<'_>,
    places: &[ListenerPlace],
    policies: &Policies<'_>,
    clients: &mut ClientPolicies,
    report: &mut Report,
) {
    let Some((first, rest)) = places.split_first() else { return };
    let settings = |clients: &ClientPolicies, place: ListenerPlace| {
        govern(policies, clients, place).map(|policy| Arc::clone(&policy.settings)).unwrap_or_default()
    };
    let decisive = settings(clients, *first);
    let first_name = &gateway.listeners[first.1].spec.name;
    for place in rest {
        let fields = socket_differences(&decisive, &settings(clients, *place));
        if fields.is_empty() {
            continue;
        }
        let spec = gateway.listeners[place.1].spec;
        let message = format!(
            "Listeners {first_name} and {} share port {}, so what the first one has holds for both: {}.",
            spec.name,
            spec.port,
            fields.join(", ")
        );
        let blamed = policies.effective.get(place).or_else(|| policies.effective.get(first));
        if let Some(policy) = blamed {
            let object = policies.policies[*policy].policy;
            report.add(Severity::Warning, object, "spec", PolicyReason::Warnings.text(), line(&message));
            clients.0[*policy].warnings.push(message);
        }
    }
}

fn socket_differences(a: &ClientSettings, b: &ClientSettings) -> Vec<&'static str> {
    [
        ("tcpKeepalive", a.tcp_keepalive != b.tcp_keepalive),
        ("proxyProtocol", a.proxy_protocol != b.proxy_protocol),
        ("connection.bufferLimit", a.connection.buffer_limit != b.connection.buffer_limit),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}
