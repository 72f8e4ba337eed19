use std::net::SocketAddr;

use ipnet::IpNet;
use ir::{AccessLogFormat, KernelSettings};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{FieldError, Kind, OWN_GROUP};

/// Settings of the process. One object is in force: the oldest, then the first by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Appliance {
    /// Networks of addresses for Gateways that name none; missing: the wildcard of both families.
    #[serde(default)]
    #[schemars(with = "Vec<String>", length(max = 64), extend("items" = {"type": "string", "format": "cidr"}))]
    pub addresses: Vec<IpNet>,
    /// Worker threads; by default one per core that the process may use. Takes effect at start or upgrade.
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<u16>,
    /// The admin page.
    pub admin: Option<ApplianceAdmin>,
    /// The kernel half.
    pub kernel: Option<KernelSettings>,
    /// PROXY protocol.
    pub proxy_protocol: Option<ApplianceProxyProtocol>,
    /// `controllerName`s of GatewayClasses that are ours; by default our own and Envoy Gateway's.
    #[schemars(length(min = 1, max = 16))]
    pub controller_names: Option<Vec<String>>,
    /// Most client connections at an instant, over all listeners; by default 50,000.
    #[schemars(range(min = 1))]
    pub max_connections: Option<u64>,
    /// Log lines.
    pub log: Option<ApplianceLog>,
}

/// The admin page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplianceAdmin {
    /// A loopback address and port; by default `127.0.0.1:19000`. Takes effect at start or upgrade.
    #[schemars(with = "Option<String>", extend("format" = "address-port"))]
    pub address: Option<SocketAddr>,
}

/// PROXY protocol, for every listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplianceProxyProtocol {
    /// Peers whose headers are believed; by default loopback and private networks. A header from anyone else
    /// closes the connection.
    #[schemars(with = "Option<Vec<String>>", length(max = 256), extend("items" = {"type": "string", "format": "cidr"}))]
    pub trusted_senders: Option<Vec<IpNet>>,
}

/// Log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApplianceLog {
    /// By default `Text`.
    pub format: Option<AccessLogFormat>,
    /// One line per request and per refused connection; by default true.
    pub access: Option<bool>,
}

impl Kind for Appliance {
    const KIND: &'static str = "Appliance";
    const GROUP: &'static str = OWN_GROUP;
    const VERSIONS: &'static [&'static str] = &["v1alpha1"];
    const NAMESPACED: bool = false;
    const CORE: bool = false;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if let Some(ApplianceAdmin { address: Some(address) }) = self.admin
            && !address.ip().is_loopback()
        {
            let message = format!("{address} is not on loopback; the admin page has no password");
            errors.push(FieldError::new("spec.admin.address", message));
        }
        errors
    }
}
