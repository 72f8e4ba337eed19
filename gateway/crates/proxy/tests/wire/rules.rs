//! Routes as `translate` would make them.

use std::{net::SocketAddr, sync::Arc};

use ir::{
    Action, BackendChoice, BackendTarget, Bind, ClientSettings, Endpoint, EndpointAddress, Filter, HttpMatch,
    HttpRule, Listener, ListenerId, PathMatch, Protocol, RouteTimeouts, RuleEntry, RuleId, SocketKey,
    Upstream, UpstreamId, UpstreamProtocol, UpstreamSettings, VirtualHost,
};
use proxy::Proxy;

use crate::configure::{ReservedPort, bind_id, gateway, publish};

/// A rule of route `default/NAME`.
pub fn rule(name: &str, filters: Vec<Filter>, action: Action) -> Arc<HttpRule> {
    let id = RuleId { route: format!("default/{name}").into(), index: 0, name: None };
    Arc::new(HttpRule { id, filters: filters.into(), action, timeouts: RouteTimeouts::default() })
}

/// Everything to one backend.
pub fn to(address: SocketAddr) -> Action {
    Action::Forward(vec![choice(1, upstream(vec![address]))])
}

pub fn choice(weight: u32, target: BackendTarget) -> BackendChoice {
    BackendChoice { weight, filters: Box::default(), target }
}

pub fn upstream(addresses: Vec<SocketAddr>) -> BackendTarget {
    let name = format!("Service default/{addresses:?}");
    BackendTarget::Upstream(Arc::new(Upstream {
        id: UpstreamId(name.as_str().into()),
        name: name.into(),
        endpoints: addresses.into_iter().map(|at| Endpoint { address: EndpointAddress::Ip(at) }).collect(),
        protocol: UpstreamProtocol::Http1,
        tls: None,
        settings: UpstreamSettings::default(),
    }))
}

pub fn prefix(path: &str) -> HttpMatch {
    HttpMatch { path: PathMatch::Prefix(path.into()), ..HttpMatch::default() }
}

pub fn exact(path: &str) -> HttpMatch {
    HttpMatch { path: PathMatch::Exact(path.into()), ..HttpMatch::default() }
}

pub fn host(hostname: Option<&str>, entries: Vec<(HttpMatch, Arc<HttpRule>)>) -> VirtualHost {
    VirtualHost {
        hostname: hostname.map(|name| name.parse().unwrap()),
        entries: entries.into_iter().map(|(matches, rule)| RuleEntry { matches, rule }).collect(),
    }
}

/// A clear-text bind with one listener for any host.
pub fn bind(socket: SocketKey, client: ClientSettings, hosts: Vec<VirtualHost>) -> Bind {
    let client = Arc::new(client);
    let listener = Listener {
        id: ListenerId("default/eg/web".into()),
        hostname: None,
        tls: None,
        client: Arc::clone(&client),
        hosts,
        connection: None,
        policies: ir::PolicyNames::default(),
        broken: false,
    };
    Bind {
        id: bind_id("web"),
        sockets: vec![socket],
        protocol: Protocol::Http,
        client,
        listeners: vec![Arc::new(listener)],
    }
}

/// Serves these hosts on a port of their own, which lives as long as the first of what is returned.
pub fn serve(
    proxy: &mut Proxy,
    client: ClientSettings,
    hosts: Vec<VirtualHost>,
) -> (ReservedPort, SocketAddr) {
    let port = ReservedPort::new();
    publish(proxy, gateway(vec![bind(port.key(), client, hosts)]));
    let address = port.address();
    (port, address)
}
