use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use ir::{Bind, BindId, HttpRule, Listener, Protocol, SocketKey, Transport};

use super::{
    ClientPolicy, Governing, RouteRules, Upstreams, governing::listener_id, hosts::Hosts, rules::PlacedMatch,
};
use crate::{
    attach::{GatewayState, ListenerPlace, RouteState},
    report::Report,
};

/// Every port that is listened on, sorted by id. Warnings go to the policies whose settings of the socket are
/// not in force, because an earlier listener of the port decides them.
pub(crate) fn binds(
    gateways: &[GatewayState<'_>],
    governing: &mut Governing<'_, '_>,
    routes: &[RouteState<'_>],
    rules: &[Arc<RouteRules>],
    upstreams: &mut Upstreams<'_, '_>,
    report: &mut Report,
) -> Vec<Bind> {
    let mut hosts: BTreeMap<ListenerPlace, Hosts<'_>> = BTreeMap::new();
    for (route, rules) in routes.iter().zip(rules) {
        for (listener, names) in route.parents.iter().flat_map(|parent| &parent.listeners) {
            let hosts = hosts.entry(*listener).or_default();
            match &gateways[listener.0].client_certificate {
                Some(Ok(own)) => {
                    let presenting = |(matches, rule): &(Vec<PlacedMatch>, Arc<HttpRule>)| {
                        (matches.clone(), upstreams.presenting(rule, own))
                    };
                    hosts.add(names, &rules.rules.iter().map(presenting).collect::<Vec<_>>());
                }
                Some(Err(_)) | None => hosts.add(names, &rules.rules),
            }
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
            governing.report_shared_sockets(gateway, &places, report);
            places.iter().for_each(|place| governing.report_missing_headers(gateway, *place, report));
            let listeners = places
                .iter()
                .map(|place| listener(gateway, *place, governing, hosts.remove(place).unwrap_or_default()));
            binds.push(bind(gateway, port, &places, listeners.map(Arc::new).collect()));
        }
    }
    binds.sort_by(|a, b| a.id.cmp(&b.id));
    binds
}

fn bind(
    gateway: &GatewayState<'_>,
    port: u16,
    places: &[ListenerPlace],
    listeners: Vec<Arc<Listener>>,
) -> Bind {
    let (namespace, name) = gateway.key();
    let states: Vec<_> = places.iter().map(|place| &gateway.listeners[place.1]).collect();
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
    place: ListenerPlace,
    governing: &Governing<'_, '_>,
    hosts: Hosts<'_>,
) -> Listener {
    let state = &gateway.listeners[place.1];
    let default = ClientPolicy::default();
    let is_tls = state.protocol == Some(Protocol::Https);
    let broken = governing.breaks(place, is_tls);
    let policy = governing.client_in_force(place, is_tls).map_or(&default, |(_, policy)| policy);
    let connection = governing.connection_in_force(place, is_tls);
    Listener {
        id: listener_id(gateway, state),
        hostname: state.spec.hostname.clone(),
        tls: if is_tls { policy.tls.of(state) } else { None },
        client: Arc::clone(&policy.settings),
        connection: connection.map(|(_, policy)| Arc::clone(&policy.rules)),
        policies: governing.names(place, is_tls),
        hosts: hosts.finish(),
        broken,
    }
}
