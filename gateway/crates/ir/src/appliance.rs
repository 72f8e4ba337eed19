use std::net::SocketAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of the process, from the `Appliance` object, with defaults filled in. Flags win over it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Appliance {
    /// Addresses for Gateways that name none; empty: the wildcard of both families.
    pub addresses: Vec<IpNet>,
    /// Worker threads; `None`: one per core that the process may use. Takes effect at start or upgrade.
    pub workers: Option<usize>,
    /// The admin page; loopback only. Takes effect at start or upgrade.
    pub admin: SocketAddr,
    /// The kernel half.
    pub kernel: KernelSettings,
    /// Peers whose PROXY headers are believed; anyone else's header closes the connection.
    pub trusted_proxy_senders: Vec<IpNet>,
    /// `spec.controllerName`s of GatewayClasses that are ours.
    pub controller_names: Vec<String>,
    /// Most client connections at an instant, over all listeners.
    pub max_connections: u64,
    /// How log lines look.
    pub log_format: AccessLogFormat,
    /// One line per request and per refused connection.
    pub access_log: bool,
}

/// Our own controller name.
pub const CONTROLLER_NAME: &str = "gateway.internal/appliance";

/// Envoy Gateway's controller name, accepted by default so that manifests written for it work unchanged.
pub const ENVOY_GATEWAY_CONTROLLER_NAME: &str = "gateway.envoyproxy.io/gatewayclass-controller";

impl Default for Appliance {
    fn default() -> Self {
        let network = |text: &str| text.parse().expect("a literal network");
        Self {
            addresses: Vec::new(),
            workers: None,
            admin: SocketAddr::from(([127, 0, 0, 1], 19000)),
            kernel: KernelSettings::default(),
            trusted_proxy_senders: [
                "127.0.0.0/8",
                "::1/128",
                "10.0.0.0/8",
                "172.16.0.0/12",
                "192.168.0.0/16",
                "fc00::/7",
            ]
            .map(network)
            .to_vec(),
            controller_names: vec![CONTROLLER_NAME.to_owned(), ENVOY_GATEWAY_CONTROLLER_NAME.to_owned()],
            max_connections: 50_000,
            log_format: AccessLogFormat::Text,
            access_log: true,
        }
    }
}

/// `spec.kernel` of an Appliance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KernelSettings {
    /// Whether limits are enforced in the kernel.
    #[serde(default)]
    pub mode: KernelMode,
    /// Interfaces that clients come in by; none: those that carry an address that a listener is bound to, a loopback
    /// by its very address only. `mode: Off` for no interface at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// Allow XDP in generic mode where a driver has no native one (slower than TC on most).
    #[serde(default, rename = "genericXDP")]
    pub generic_xdp: bool,
    /// Tiers that may be used on an interface; the first that works is.
    #[serde(default = "KernelSettings::all_tiers")]
    #[schemars(length(min = 1, max = 2))]
    pub tiers: Vec<KernelTier>,
}

impl KernelSettings {
    fn all_tiers() -> Vec<KernelTier> {
        vec![KernelTier::Xdp, KernelTier::Tc]
    }
}

impl Default for KernelSettings {
    fn default() -> Self {
        Self { mode: KernelMode::Auto, interfaces: Vec::new(), generic_xdp: false, tiers: Self::all_tiers() }
    }
}

/// Where in the kernel a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum KernelTier {
    /// Before the network stack; answers with a reset.
    #[serde(rename = "XDP")]
    Xdp,
    /// At the entrance of the network stack; answers with a reset.
    #[serde(rename = "TC")]
    Tc,
}

/// `spec.kernel.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum KernelMode {
    /// The best tier that works; user space where none does.
    #[default]
    Auto,
    /// User space only.
    Off,
    /// Refuse to start where no kernel tier works.
    Require,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum AccessLogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    #[serde(rename = "JSON")]
    Json,
}
