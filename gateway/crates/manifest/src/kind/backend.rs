use std::{net::IpAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ENVOY_GATEWAY_GROUP, FieldError, Kind, Unserved};

/// DNS-style name.
const FQDN: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A destination of routes outside any Service: addresses, names, or Unix sockets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Backend {
    /// By default `Endpoints`.
    #[serde(rename = "type")]
    pub backend_type: Option<BackendType>,
    /// Members. Names do not mix with addresses and sockets.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    pub endpoints: Vec<BackendEndpoint>,
    /// What the members speak; by default HTTP/1.1.
    #[serde(default)]
    pub app_protocols: Vec<BackendAppProtocol>,
    /// Takes traffic only when the other backends of the rule are unwell.
    #[schemars(extend("x-gateway-unserved" = "priorities need endpoint health, which is not served yet"))]
    pub fallback: Option<Unserved>,
    /// TLS to the members.
    #[schemars(extend("x-gateway-unserved" = "a BackendTLSPolicy is served in its place"))]
    pub tls: Option<Unserved>,
}

/// Where a Backend's members come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum BackendType {
    /// From `endpoints`.
    #[default]
    Endpoints,
    /// From the host of each request.
    DynamicResolver,
}

/// What a Backend's members speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum BackendAppProtocol {
    /// HTTP/2 in the clear.
    #[serde(rename = "gateway.envoyproxy.io/h2c")]
    H2c,
    /// WebSocket over HTTP/1.1.
    #[serde(rename = "gateway.envoyproxy.io/ws")]
    Ws,
    /// WebSocket over HTTP/1.1 in TLS.
    #[serde(rename = "gateway.envoyproxy.io/wss")]
    Wss,
}

/// One member: exactly one of `fqdn`, `ip`, `unix`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendEndpoint {
    /// By DNS name.
    pub fqdn: Option<FqdnEndpoint>,
    /// By address.
    pub ip: Option<IpEndpoint>,
    /// By Unix socket.
    pub unix: Option<UnixEndpoint>,
    /// Name for health checks and SNI.
    #[schemars(extend("x-gateway-unserved" = "health checks are not served yet, and the name for TLS is the BackendTLSPolicy's"))]
    pub hostname: Option<Unserved>,
    /// Zone of the member.
    #[schemars(extend("x-gateway-unserved" = "one host has no zones"))]
    pub zone: Option<Unserved>,
}

/// A DNS name and port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FqdnEndpoint {
    /// The name.
    #[schemars(length(min = 1, max = 253), regex(pattern = FQDN))]
    pub hostname: String,
    /// The port.
    pub port: u16,
}

/// An address and port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IpEndpoint {
    /// IPv4 or IPv6.
    #[schemars(length(min = 3, max = 45))]
    pub address: String,
    /// The port.
    pub port: u16,
}

/// A Unix stream socket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnixEndpoint {
    /// Its path, at most 108 bytes.
    #[schemars(with = "String", length(max = 108))]
    pub path: PathBuf,
}

impl Kind for Backend {
    const KIND: &'static str = "Backend";
    const GROUP: &'static str = ENVOY_GATEWAY_GROUP;
    const VERSIONS: &'static [&'static str] = &["v1alpha1"];
    const NAMESPACED: bool = true;
    const CORE: bool = false;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.backend_type == Some(BackendType::DynamicResolver) && !self.endpoints.is_empty() {
            errors
                .push(FieldError::new("spec.endpoints", "type DynamicResolver has no endpoints of its own"));
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            endpoint.check(&format!("spec.endpoints[{index}]"), &mut errors);
        }
        let names = self.endpoints.iter().filter(|endpoint| endpoint.fqdn.is_some()).count();
        if names != 0 && names != self.endpoints.len() {
            errors.push(FieldError::new("spec.endpoints", "`fqdn` does not mix with `ip` and `unix`"));
        }
        errors
    }
}

impl BackendEndpoint {
    fn check(&self, path: &str, errors: &mut Vec<FieldError>) {
        let given = [self.fqdn.is_some(), self.ip.is_some(), self.unix.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            errors.push(FieldError::new(path, "expected exactly one of `fqdn`, `ip`, `unix`"));
        }
        if let Some(ip) = &self.ip
            && ip.address.parse::<IpAddr>().is_err()
        {
            let message = format!("`{}` is not an IPv4 or IPv6 address", ip.address);
            errors.push(FieldError::new(format!("{path}.ip.address"), message));
        }
    }
}
