use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ir::{Endpoint, EndpointAddress, Upstream, UpstreamId, UpstreamProtocol, UpstreamSettings};
use manifest::{
    ManifestSet, Object,
    kind::{
        AddressType, Backend, BackendAppProtocol, BackendEndpoint, BackendRef, BackendType,
        ENVOY_GATEWAY_GROUP, EndpointPort, EndpointSlice, Service, ServicePort, ServiceType,
    },
};

use crate::{
    grants::{Referent, Referrer},
    index::Index,
    status::{BackendReason, RouteReason},
};

/// Why a reference to a backend leads nowhere.
pub(crate) type Refusal = (RouteReason, String);

/// What backend references come to; equal upstreams are one.
#[derive(Debug)]
pub(crate) struct Upstreams<'i, 'a> {
    index: &'i Index<'a>,
    interned: BTreeMap<Arc<str>, Arc<Upstream>>,
}

impl<'i, 'a> Upstreams<'i, 'a> {
    pub(crate) fn new(index: &'i Index<'a>) -> Self {
        Self { index, interned: BTreeMap::new() }
    }

    /// What a reference in a rule of a route comes to. An upstream may be without endpoints.
    pub(super) fn resolve(
        &mut self,
        route: Referrer<'_>,
        reference: &BackendRef,
    ) -> Result<Arc<Upstream>, Refusal> {
        let namespace = reference.namespace.as_deref().unwrap_or(route.namespace);
        let (group, kind, name) = (reference.group(), reference.kind(), reference.name.as_str());
        let is_service = match (group, kind) {
            ("", "Service") => true,
            (ENVOY_GATEWAY_GROUP, "Backend") => false,
            _ => {
                let message = format!(
                    "{kind} of group `{group}` is no backend; expected Service or Backend of group {ENVOY_GATEWAY_GROUP}."
                );
                return Err((RouteReason::InvalidKind, message));
            }
        };
        let referent = Referent { group, kind, namespace, name };
        self.index
            .grants
            .permit(route, referent)
            .map_err(|message| (RouteReason::RefNotPermitted, message))?;
        if is_service { self.service(namespace, name, reference.port) } else { self.backend(namespace, name) }
    }

    /// As [`Upstreams::resolve`], for copies of requests: connections and limits of its own, so that copies take none
    /// from requests that go to the same backend.
    pub(super) fn resolve_mirror(
        &mut self,
        route: Referrer<'_>,
        reference: &BackendRef,
    ) -> Result<Arc<Upstream>, Refusal> {
        let upstream = self.resolve(route, reference)?;
        let id: Arc<str> = format!("{} mirror", upstream.id).into();
        let entry = self.interned.entry(Arc::clone(&id));
        let mirror = || Upstream { id: UpstreamId(id), ..Upstream::clone(&upstream) };
        Ok(Arc::clone(entry.or_insert_with(|| Arc::new(mirror()))))
    }

    fn service(&mut self, namespace: &str, name: &str, port: Option<u16>) -> Result<Arc<Upstream>, Refusal> {
        let Some(service) = self.index.services.get(&(namespace, name)) else {
            let message = self.index.absence(&self.index.services, (namespace, name));
            return Err((RouteReason::BackendNotFound, message));
        };
        let number = port.unwrap_or_default();
        let port = tcp_port(service.spec, number).ok_or_else(|| {
            let ports: Vec<String> = service.spec.ports.iter().map(|port| port.port.to_string()).collect();
            let ports = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
            let message = format!("Service {namespace}/{name} has no TCP port {number}; it has {ports}.");
            (RouteReason::PortNotFound, message)
        })?;
        let slices = self.index.slices.get(&(namespace, name)).map(Vec::as_slice).unwrap_or_default();
        let protocol = service_protocol(port, slices).map_err(|spoken| {
            let message = format!("Service {namespace}/{name} port {number}: `{spoken}` needs TLS to backends, which is not served yet.");
            (RouteReason::UnsupportedProtocol, message)
        })?;
        let endpoints = if service.spec.service_type == Some(ServiceType::ExternalName) {
            service.spec.external_name.iter().map(|name| named(name, number)).collect()
        } else {
            slices.iter().flat_map(|slice| of_slice(slice, port)).collect()
        };
        Ok(self.intern(format!("Service {namespace}/{name}:{number}"), protocol, endpoints))
    }

    fn backend(&mut self, namespace: &str, name: &str) -> Result<Arc<Upstream>, Refusal> {
        let Some(backend) = self.index.backends.get(&(namespace, name)) else {
            let message = self.index.absence(&self.index.backends, (namespace, name));
            return Err((RouteReason::BackendNotFound, message));
        };
        if let Some((reason, message)) = unserved(backend.spec) {
            return Err((reason, format!("Backend {namespace}/{name}: {message}.")));
        }
        let h2c = backend.spec.app_protocols.contains(&BackendAppProtocol::H2c);
        let protocol = if h2c { UpstreamProtocol::H2c } else { UpstreamProtocol::Http1 };
        let endpoints = backend.spec.endpoints.iter().filter_map(of_backend).collect();
        Ok(self.intern(format!("Backend {namespace}/{name}"), protocol, endpoints))
    }

    /// Why a Service of a cluster may have no endpoints here, or nothing.
    pub(super) fn endpoint_hint(&self, route: Referrer<'_>, reference: &BackendRef) -> String {
        let namespace = reference.namespace.as_deref().unwrap_or(route.namespace);
        let name = reference.name.as_str();
        if reference.kind() != "Service" {
            return String::new();
        }
        let Some(slices) = self.index.slices.get(&(namespace, name)) else {
            return format!(
                ": no EndpointSlice of namespace {namespace} has the label kubernetes.io/service-name: {name}"
            );
        };
        let service = self.index.services.get(&(namespace, name));
        let port = service.and_then(|service| tcp_port(service.spec, reference.port.unwrap_or_default()));
        let Some(port) = port else { return String::new() };
        let ports = || slices.iter().flat_map(|slice| &slice.ports);
        if ports().any(|other| is_of(other, port)) {
            return String::new();
        }
        let shown = |name: &Option<String>| match name.as_deref() {
            None | Some("") => "an unnamed one".to_owned(),
            Some(name) => format!("`{name}`"),
        };
        let names: BTreeSet<String> = ports().map(|port| shown(&port.name)).collect();
        let names: Vec<String> = names.into_iter().collect();
        format!(": its EndpointSlices have no TCP port {}, but {}", shown(&port.name), names.join(", "))
    }

    fn intern(
        &mut self,
        name: String,
        protocol: UpstreamProtocol,
        mut endpoints: Vec<Endpoint>,
    ) -> Arc<Upstream> {
        endpoints.sort();
        endpoints.dedup();
        // The settings are the same for all so far; once they are not, they are a part of the id.
        let id: Arc<str> = match protocol {
            UpstreamProtocol::Http1 => format!("{name} HTTP/1.1").into(),
            UpstreamProtocol::H2c => format!("{name} h2c").into(),
        };
        let upstream = || Upstream {
            id: UpstreamId(Arc::clone(&id)),
            name: name.as_str().into(),
            endpoints,
            protocol,
            settings: UpstreamSettings::default(),
        };
        Arc::clone(self.interned.entry(Arc::clone(&id)).or_insert_with(|| Arc::new(upstream())))
    }
}

fn tcp_port(service: &Service, number: u16) -> Option<&ServicePort> {
    let is_tcp = |port: &&ServicePort| port.protocol.as_deref().unwrap_or("TCP") == "TCP";
    service.ports.iter().filter(is_tcp).find(|port| port.port == number)
}

/// What is spoken on a Service's port. Fails with its name where it needs TLS.
fn service_protocol(port: &ServicePort, slices: &[&EndpointSlice]) -> Result<UpstreamProtocol, String> {
    let from_slices = || slices.iter().flat_map(|slice| &slice.ports).filter(|other| is_of(other, port));
    let spoken =
        port.app_protocol.as_deref().or_else(|| from_slices().find_map(|port| port.app_protocol.as_deref()));
    match spoken {
        Some("kubernetes.io/h2c" | "grpc") => Ok(UpstreamProtocol::H2c),
        Some(secure @ ("https" | "kubernetes.io/wss")) => Err(secure.to_owned()),
        _ => Ok(UpstreamProtocol::Http1),
    }
}

/// Ports of slices belong to a Service's by their names; no name is a name too.
fn is_of(other: &EndpointPort, port: &ServicePort) -> bool {
    other.protocol.as_deref().unwrap_or("TCP") == "TCP"
        && other.name.as_deref().unwrap_or_default() == port.name.as_deref().unwrap_or_default()
}

fn of_slice(slice: &EndpointSlice, port: &ServicePort) -> Vec<Endpoint> {
    let named_port = slice.ports.iter().find(|other| is_of(other, port));
    let Some(number) = named_port.and_then(|port| port.port) else { return Vec::new() };
    slice
        .endpoints
        .iter()
        .filter(|endpoint| endpoint.conditions.ready.unwrap_or(true))
        .filter_map(|endpoint| endpoint.addresses.first())
        .filter_map(|address| match slice.address_type {
            AddressType::IPv4 | AddressType::IPv6 => at(address.parse().ok()?, number),
            AddressType::Fqdn => Some(named(address, number)),
        })
        .collect()
}

fn of_backend(endpoint: &BackendEndpoint) -> Option<Endpoint> {
    let BackendEndpoint { fqdn, ip, unix, hostname: _, zone: _ } = endpoint;
    if let Some(fqdn) = fqdn {
        return Some(named(&fqdn.hostname, fqdn.port));
    }
    if let Some(ip) = ip {
        return at(ip.address.parse().ok()?, ip.port);
    }
    unix.as_ref().map(|unix| Endpoint { address: EndpointAddress::Unix(unix.path.clone()) })
}

fn at(address: IpAddr, port: u16) -> Option<Endpoint> {
    let address = SocketAddr::new(address, port);
    Some(Endpoint { address: EndpointAddress::Ip(address) })
}

fn named(name: &str, port: u16) -> Endpoint {
    let address = match name.parse::<IpAddr>() {
        Ok(address) => EndpointAddress::Ip(SocketAddr::new(address, port)),
        Err(_) => {
            let host = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase().into();
            EndpointAddress::Dns { host, port }
        }
    };
    Endpoint { address }
}

/// A Backend and whether routes may use it.
#[derive(Debug)]
pub(crate) struct BackendState<'a> {
    pub(crate) object: &'a Object<Backend>,
    pub(crate) refusal: Option<(BackendReason, String)>,
}

/// Every Backend that is not refused.
pub(crate) fn backends(set: &ManifestSet) -> Vec<BackendState<'_>> {
    let in_force = set.backends.iter().filter_map(|object| Some((object, object.spec.in_force()?)));
    in_force
        .map(|(object, spec)| {
            let sentence = |message: String| message[..1].to_uppercase() + &message[1..] + ".";
            let refusal = unserved(spec).map(|(_, message)| (BackendReason::Invalid, sentence(message)));
            BackendState { object, refusal }
        })
        .collect()
}

/// What cannot be left out without doing something else than what was asked for.
fn unserved(backend: &Backend) -> Option<(RouteReason, String)> {
    let Backend { backend_type, endpoints, app_protocols, fallback: _, tls } = backend;
    let zero = |endpoint: &BackendEndpoint| {
        endpoint.fqdn.as_ref().is_some_and(|fqdn| fqdn.port == 0)
            || endpoint.ip.as_ref().is_some_and(|ip| ip.port == 0)
    };
    if *backend_type == Some(BackendType::DynamicResolver) {
        Some((RouteReason::UnsupportedValue, "type DynamicResolver is not served yet".to_owned()))
    } else if tls.is_some() {
        Some((RouteReason::InvalidBackendTLS, "TLS to backends is not served yet".to_owned()))
    } else if app_protocols.contains(&BackendAppProtocol::Wss) {
        let message = "`gateway.envoyproxy.io/wss` needs TLS to backends, which is not served yet".to_owned();
        Some((RouteReason::UnsupportedProtocol, message))
    } else if endpoints.iter().any(zero) {
        Some((RouteReason::InvalidAddress, "port 0 cannot be dialled".to_owned()))
    } else {
        None
    }
}
