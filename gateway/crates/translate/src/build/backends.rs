use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ir::{
    Action, BackendTarget, CertifiedKey, Endpoint, EndpointAddress, Filter, HttpRule, Upstream, UpstreamId,
    UpstreamProtocol, UpstreamSettings, UpstreamTls,
};
use manifest::{
    ManifestSet, Object,
    kind::{
        AddressType, Backend, BackendAppProtocol, BackendEndpoint, BackendRef, BackendType,
        ENVOY_GATEWAY_GROUP, EndpointPort, EndpointSlice, Service, ServicePort, ServiceType,
    },
};

use super::BackendTls;
use crate::{
    attach::BackendKey,
    grants::{Referent, Referrer},
    index::{Index, key},
    status::{BackendReason, RouteReason},
};

/// Why a reference to a backend leads nowhere.
pub(crate) type Refusal = (RouteReason, String);

/// What backend references come to; equal upstreams are one.
#[derive(Debug)]
pub(crate) struct Upstreams<'i, 'a> {
    index: &'i Index<'a>,
    tls: &'i BackendTls<'i, 'a>,
    interned: BTreeMap<Arc<str>, Arc<Upstream>>,
}

impl<'i, 'a> Upstreams<'i, 'a> {
    pub(crate) fn new(index: &'i Index<'a>, tls: &'i BackendTls<'i, 'a>) -> Self {
        Self { index, tls, interned: BTreeMap::new() }
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

    /// What a Gateway does with a request that has a certificate of its own to show: as the rule says, and where that
    /// leads to TLS, it shows it. The very rule where it leads to none.
    pub(super) fn presenting(&mut self, rule: &Arc<HttpRule>, own: &Arc<CertifiedKey>) -> Arc<HttpRule> {
        let mut changed = HttpRule::clone(rule);
        let mut is_other = false;
        let mut present = |upstream: &mut Arc<Upstream>| {
            if let Some(other) = self.with_certificate(upstream, own) {
                (*upstream, is_other) = (other, true);
            }
        };
        for filter in &mut changed.filters {
            if let Filter::RequestMirror(mirror) = filter {
                present(&mut mirror.upstream);
            }
        }
        if let Action::Forward(choices) = &mut changed.action {
            for choice in choices {
                if let BackendTarget::Upstream(upstream) = &mut choice.target {
                    present(upstream);
                }
            }
        }
        if is_other { Arc::new(changed) } else { Arc::clone(rule) }
    }

    /// The same upstream, shown a certificate. `None`: it is connected to in the clear.
    fn with_certificate(
        &mut self,
        upstream: &Arc<Upstream>,
        own: &Arc<CertifiedKey>,
    ) -> Option<Arc<Upstream>> {
        let tls = upstream.tls.as_ref()?;
        let tls = UpstreamTls { client_certificate: Some(Arc::clone(own)), ..UpstreamTls::clone(tls) };
        let id: Arc<str> = format!("{} as {}", upstream.id, fingerprint(own)).into();
        let entry = self.interned.entry(Arc::clone(&id));
        let other = || Upstream { id: UpstreamId(id), tls: Some(Arc::new(tls)), ..Upstream::clone(upstream) };
        Some(Arc::clone(entry.or_insert_with(|| Arc::new(other()))))
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
        let tls = self.tls.of(BackendKey::Service((namespace, name)), port.name.as_deref())?;
        let Spoken { protocol, needs_tls } = service_protocol(port, slices);
        if let (Some(spoken), None) = (needs_tls, &tls) {
            let message = format!(
                "Service {namespace}/{name} port {number}: `{spoken}` needs TLS, and no BackendTLSPolicy says with whom."
            );
            return Err((RouteReason::UnsupportedProtocol, message));
        }
        let endpoints = if service.spec.service_type == Some(ServiceType::ExternalName) {
            service.spec.external_name.iter().map(|name| named(name, number)).collect()
        } else {
            slices.iter().flat_map(|slice| of_slice(slice, port)).collect()
        };
        Ok(self.intern(format!("Service {namespace}/{name}:{number}"), protocol, tls, endpoints))
    }

    fn backend(&mut self, namespace: &str, name: &str) -> Result<Arc<Upstream>, Refusal> {
        let Some(backend) = self.index.backends.get(&(namespace, name)) else {
            let message = self.index.absence(&self.index.backends, (namespace, name));
            return Err((RouteReason::BackendNotFound, message));
        };
        let tls = self.tls.of(BackendKey::Backend((namespace, name)), None)?;
        if let Some((reason, message)) = unserved(backend.spec, tls.is_some()) {
            return Err((reason, format!("Backend {namespace}/{name}: {message}.")));
        }
        let h2c = backend.spec.app_protocols.contains(&BackendAppProtocol::H2c);
        let protocol = if h2c { UpstreamProtocol::H2c } else { UpstreamProtocol::Http1 };
        let endpoints = backend.spec.endpoints.iter().filter_map(of_backend).collect();
        Ok(self.intern(format!("Backend {namespace}/{name}"), protocol, tls, endpoints))
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
        tls: Option<Arc<UpstreamTls>>,
        mut endpoints: Vec<Endpoint>,
    ) -> Arc<Upstream> {
        endpoints.sort();
        endpoints.dedup();
        // The other settings are the same for all so far; once they are not, they are a part of the id.
        let spoken = match (protocol, &tls) {
            (UpstreamProtocol::Http1, _) => "HTTP/1.1",
            (UpstreamProtocol::H2c, None) => "h2c",
            (UpstreamProtocol::H2c, Some(_)) => "HTTP/2",
        };
        let in_tls = tls.as_ref().map(|tls| format!(" TLS {}", fingerprint(tls))).unwrap_or_default();
        let id: Arc<str> = format!("{name} {spoken}{in_tls}").into();
        let upstream = || Upstream {
            id: UpstreamId(Arc::clone(&id)),
            name: name.as_str().into(),
            endpoints,
            protocol,
            tls,
            settings: UpstreamSettings::default(),
        };
        Arc::clone(self.interned.entry(Arc::clone(&id)).or_insert_with(|| Arc::new(upstream())))
    }
}

fn tcp_port(service: &Service, number: u16) -> Option<&ServicePort> {
    let is_tcp = |port: &&ServicePort| port.protocol.as_deref().unwrap_or("TCP") == "TCP";
    service.ports.iter().filter(is_tcp).find(|port| port.port == number)
}

/// What is spoken on a Service's port.
struct Spoken<'s> {
    protocol: UpstreamProtocol,
    /// What it is called, if that is in TLS by its name.
    needs_tls: Option<&'s str>,
}

fn service_protocol<'s>(port: &'s ServicePort, slices: &[&'s EndpointSlice]) -> Spoken<'s> {
    let from_slices = || slices.iter().flat_map(|slice| &slice.ports).filter(|other| is_of(other, port));
    let spoken =
        port.app_protocol.as_deref().or_else(|| from_slices().find_map(|port| port.app_protocol.as_deref()));
    // Names of IANA's registry are the same in either case (RFC 6335 §5.1).
    let is_secure = |name: &&str| name.eq_ignore_ascii_case("https") || *name == "kubernetes.io/wss";
    let protocol = match spoken {
        Some("kubernetes.io/h2c" | "grpc") => UpstreamProtocol::H2c,
        _ => UpstreamProtocol::Http1,
    };
    Spoken { protocol, needs_tls: spoken.filter(is_secure) }
}

/// Tells settings apart, in this process: those of one fingerprint share connections.
fn fingerprint(settings: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    settings.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
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
pub(crate) fn backends<'a>(set: &'a ManifestSet, tls: &BackendTls<'_, '_>) -> Vec<BackendState<'a>> {
    let in_force = set.backends.iter().filter_map(|object| Some((object, object.spec.in_force()?)));
    in_force
        .map(|(object, spec)| {
            let sentence = |message: String| message[..1].to_uppercase() + &message[1..] + ".";
            let has_tls = matches!(tls.of(BackendKey::Backend(key(object)), None), Ok(Some(_)));
            let refusal =
                unserved(spec, has_tls).map(|(_, message)| (BackendReason::Invalid, sentence(message)));
            BackendState { object, refusal }
        })
        .collect()
}

/// What cannot be left out without doing something else than what was asked for.
fn unserved(backend: &Backend, has_tls: bool) -> Option<(RouteReason, String)> {
    let Backend { backend_type, endpoints, app_protocols, fallback: _, tls } = backend;
    let zero = |endpoint: &BackendEndpoint| {
        endpoint.fqdn.as_ref().is_some_and(|fqdn| fqdn.port == 0)
            || endpoint.ip.as_ref().is_some_and(|ip| ip.port == 0)
    };
    if *backend_type == Some(BackendType::DynamicResolver) {
        Some((RouteReason::UnsupportedValue, "type DynamicResolver is not served yet".to_owned()))
    } else if tls.is_some() {
        Some((RouteReason::InvalidBackendTLS, "`tls` is not served yet; a BackendTLSPolicy is".to_owned()))
    } else if app_protocols.contains(&BackendAppProtocol::Wss) && !has_tls {
        let message =
            "`gateway.envoyproxy.io/wss` needs TLS, and no BackendTLSPolicy says with whom".to_owned();
        Some((RouteReason::UnsupportedProtocol, message))
    } else if endpoints.iter().any(zero) {
        Some((RouteReason::InvalidAddress, "port 0 cannot be dialled".to_owned()))
    } else {
        None
    }
}
