use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{FieldError, Kind};

/// Addresses of a Service's backends; the label `kubernetes.io/service-name` names the Service.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice {
    /// What the addresses are.
    pub address_type: AddressType,
    /// The backends.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub endpoints: Vec<SliceEndpoint>,
    /// Ports of each backend, matched to the Service's by name.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub ports: Vec<EndpointPort>,
}

/// What the addresses of a slice are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum AddressType {
    /// IPv4 addresses.
    IPv4,
    /// IPv6 addresses.
    IPv6,
    /// DNS names (deprecated).
    #[serde(rename = "FQDN")]
    Fqdn,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SliceEndpoint {
    /// Its addresses; all are the same backend, the first is used.
    #[schemars(length(min = 1, max = 100))]
    pub addresses: Vec<String>,
    /// Its state.
    #[serde(default)]
    pub conditions: EndpointConditions,
}

/// State of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointConditions {
    /// Whether it takes requests; missing means true.
    pub ready: Option<bool>,
    /// As `ready`, but also true while it ends.
    pub serving: Option<bool>,
    /// Whether it is ending.
    pub terminating: Option<bool>,
}

/// A port of each backend of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointPort {
    /// Matches the Service's port of that name; missing or empty is the unnamed one.
    pub name: Option<String>,
    /// The port; missing means every port, which cannot be dialled.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// `TCP` (the default), `UDP` or `SCTP`.
    pub protocol: Option<String>,
    /// What is spoken; the Service's own `appProtocol` wins.
    pub app_protocol: Option<String>,
}

impl Kind for EndpointSlice {
    const KIND: &'static str = "EndpointSlice";
    const GROUP: &'static str = "discovery.k8s.io";
    const VERSIONS: &'static [&'static str] = &["v1"];
    const NAMESPACED: bool = true;
    const CORE: bool = true;
    const SPEC: bool = false;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            for (place, address) in endpoint.addresses.iter().enumerate() {
                let (fits, expected) = match self.address_type {
                    AddressType::IPv4 => (address.parse::<Ipv4Addr>().is_ok(), "an IPv4 address"),
                    AddressType::IPv6 => (address.parse::<Ipv6Addr>().is_ok(), "an IPv6 address"),
                    AddressType::Fqdn => (address.parse::<IpAddr>().is_err(), "a DNS name"),
                };
                if !fits {
                    let path = format!("endpoints[{index}].addresses[{place}]");
                    let message = format!("found `{address}`, expected {expected} (`addressType`)");
                    errors.push(FieldError::new(path, message));
                }
            }
        }
        errors
    }
}
