use schemars::JsonSchema;
use serde::Deserialize;

use super::Kind;

/// A name and ports for backends, whose addresses stand in EndpointSlices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// The ports that a route may name.
    #[serde(default)]
    pub ports: Vec<ServicePort>,
    /// `ExternalName` makes it a DNS name; every other type means EndpointSlices.
    #[serde(rename = "type")]
    pub service_type: Option<ServiceType>,
    /// The DNS name of an `ExternalName`.
    pub external_name: Option<String>,
    /// An address of a cluster, which this host has not; never dialled.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Option<String>,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Matches the port of that name in the EndpointSlices; may be missing where there is one port only.
    pub name: Option<String>,
    /// What a route names.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// `TCP` (the default), `UDP` or `SCTP`.
    pub protocol: Option<String>,
    /// What is spoken: `kubernetes.io/h2c`, `kubernetes.io/ws`, `http`, ...
    pub app_protocol: Option<String>,
}

/// Kinds of Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// An address inside a cluster.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
    /// A port on each node of a cluster.
    NodePort,
    /// An address outside a cluster.
    LoadBalancer,
    /// A DNS name.
    ExternalName,
}

impl Kind for Service {
    const KIND: &'static str = "Service";
    const GROUP: &'static str = "";
    const VERSIONS: &'static [&'static str] = &["v1"];
    const NAMESPACED: bool = true;
    const CORE: bool = true;
}
