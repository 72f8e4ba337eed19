use std::collections::{BTreeMap, BTreeSet};

use ir::Hostname;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    AllowedListeners, FieldError, GATEWAY_GROUP, GROUP, GatewayTls, KIND, Kind, LabelSelector,
    LocalParametersReference, SECTION_NAME, SecretReference, Unserved,
    label::{check_annotations, check_labels},
};

/// Listeners on addresses of this host, to which routes and policies attach.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gateway {
    /// The GatewayClass that says who serves this Gateway.
    #[schemars(length(min = 1, max = 253))]
    pub gateway_class_name: String,
    /// What is listened on. Names are unique, and so are port, protocol and hostname together.
    #[schemars(length(min = 1, max = 64))]
    pub listeners: Vec<Listener>,
    /// Addresses to listen on; none: one of the Appliance's pool, or the wildcard where it has no pool.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub addresses: Vec<GatewayAddress>,
    /// What belongs to the infrastructure around the Gateway.
    pub infrastructure: Option<Infrastructure>,
    /// Which ListenerSets may add listeners; by default none.
    pub allowed_listeners: Option<AllowedListeners>,
    /// TLS towards backends, and certificates of clients.
    pub tls: Option<GatewayTls>,
    /// Which routes attach to this Gateway without naming it (experimental channel).
    #[schemars(extend("x-gateway-unserved" = "default Gateways are experimental in Gateway API"))]
    pub default_scope: Option<Unserved>,
}

/// One logical endpoint of a Gateway, its own or of a ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Listener {
    /// Unique within the Gateway or ListenerSet; what `sectionName` refers to.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECTION_NAME))]
    pub name: String,
    /// Which hosts are served; none: every host.
    pub hostname: Option<Hostname>,
    /// The port to listen on.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// `HTTP` or `HTTPS`; `TLS`, `TCP` and `UDP` are not served yet.
    #[schemars(
        length(min = 1, max = 255),
        regex(
            pattern = r"^[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?$|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9]+$"
        )
    )]
    pub protocol: String,
    /// Certificates; for `HTTPS` and `TLS`.
    pub tls: Option<ListenerTls>,
    /// Which routes may attach.
    pub allowed_routes: Option<AllowedRoutes>,
}

/// `tls` of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerTls {
    /// Whether TLS ends here; by default `Terminate`.
    pub mode: Option<TlsMode>,
    /// Secrets with the certificates to show; the first whose name covers the client's SNI is shown.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub certificate_refs: Vec<SecretReference>,
    /// Client certificates, in the place where Gateway API 1.4 had them.
    #[schemars(extend("x-gateway-unserved" = "it has moved to `spec.tls.frontend` of the Gateway"))]
    pub frontend_validation: Option<Unserved>,
    /// Settings of implementations.
    #[schemars(extend("x-gateway-unserved" = "this implementation defines no TLS options"))]
    pub options: Option<Unserved>,
}

/// Whether TLS ends at the listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TlsMode {
    /// TLS ends here.
    #[default]
    Terminate,
    /// The bytes of TLS go to the backend.
    Passthrough,
}

/// Which routes may attach to a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedRoutes {
    /// From which namespaces; by default the own one of the Gateway or ListenerSet.
    pub namespaces: Option<RouteNamespaces>,
    /// Of which kinds; none: those that fit the protocol.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub kinds: Vec<RouteGroupKind>,
}

/// From which namespaces routes may attach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteNamespaces {
    /// By default `Same`.
    pub from: Option<RouteNamespacesFrom>,
    /// Labels of the namespaces, for `Selector`.
    pub selector: Option<LabelSelector>,
}

/// From which namespaces routes may attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum RouteNamespacesFrom {
    /// Any namespace.
    All,
    /// Namespaces whose labels the selector matches.
    Selector,
    /// The own namespace of the Gateway or ListenerSet.
    #[default]
    Same,
}

/// A kind of routes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteGroupKind {
    /// Group; by default `gateway.networking.k8s.io`.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: Option<String>,
    /// Kind.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: String,
}

/// An address that a Gateway asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayAddress {
    /// `IPAddress` (the default) is served; `Hostname` and names of implementations are not.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 253))]
    pub address_type: Option<String>,
    /// The address; none: any of that type.
    #[schemars(length(max = 253))]
    pub value: Option<String>,
}

/// What belongs to the infrastructure around a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Infrastructure {
    /// Labels of the Service that is written down for the Gateway.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 8))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Service that is written down for the Gateway.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16))]
    pub annotations: BTreeMap<String, String>,
    /// An object of parameters.
    pub parameters_ref: Option<LocalParametersReference>,
}

impl Kind for Gateway {
    const KIND: &'static str = "Gateway";
    const GROUP: &'static str = GATEWAY_GROUP;
    const VERSIONS: &'static [&'static str] = &["v1", "v1beta1"];
    const NAMESPACED: bool = true;
    const CORE: bool = false;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_listeners(&self.listeners, Self::KIND, &mut errors);
        if let Some(tls) = &self.tls {
            tls.check(&mut errors);
        }
        if let Some(Infrastructure { labels, annotations, parameters_ref: _ }) = &self.infrastructure {
            check_labels("spec.infrastructure.labels", labels, &mut errors);
            check_annotations("spec.infrastructure.annotations", annotations, &mut errors);
        }
        let mut addresses = BTreeSet::new();
        for (index, address) in self.addresses.iter().enumerate() {
            let value = address.value.as_deref().filter(|value| !value.is_empty());
            if value.is_some_and(|value| !addresses.insert((address.address_type.as_deref(), value))) {
                let message = "this address stands twice; addresses are unique";
                errors.push(FieldError::new(format!("spec.addresses[{index}].value"), message));
            }
        }
        errors
    }
}

/// The rules that span the listeners of one object of `kind`.
pub(super) fn check_listeners(listeners: &[Listener], kind: &str, errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    let mut places = BTreeSet::new();
    for (index, listener) in listeners.iter().enumerate() {
        let path = format!("spec.listeners[{index}]");
        if !names.insert(&listener.name) {
            let message = format!("`{}` names two listeners; names are unique in a {kind}", listener.name);
            errors.push(FieldError::new(format!("{path}.name"), message));
        }
        if !places.insert((listener.port, &listener.protocol, &listener.hostname)) {
            let message = "port, protocol and hostname together are those of an earlier listener";
            errors.push(FieldError::new(&path, message));
        }
        listener.check(&path, errors);
    }
}

impl Listener {
    fn check(&self, path: &str, errors: &mut Vec<FieldError>) {
        let clear = matches!(self.protocol.as_str(), "HTTP" | "TCP" | "UDP");
        let layer_4 = matches!(self.protocol.as_str(), "TCP" | "UDP");
        if layer_4 && self.hostname.is_some() {
            let message = format!("protocol {} knows no hostname", self.protocol);
            errors.push(FieldError::new(format!("{path}.hostname"), message));
        }
        let Some(tls) = &self.tls else { return };
        if clear {
            let message = format!("protocol {} has no `tls`; expected HTTPS or TLS", self.protocol);
            errors.push(FieldError::new(format!("{path}.tls"), message));
        }
        let mode = tls.mode.unwrap_or_default();
        if self.protocol == "HTTPS" && mode != TlsMode::Terminate {
            errors.push(FieldError::new(format!("{path}.tls.mode"), "HTTPS needs mode Terminate"));
        }
        if mode == TlsMode::Terminate && tls.certificate_refs.is_empty() && tls.options.is_none() {
            let message = "mode Terminate needs at least one certificate";
            errors.push(FieldError::new(format!("{path}.tls.certificateRefs"), message));
        }
    }
}
