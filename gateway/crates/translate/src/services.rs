use std::{collections::BTreeMap, net::IpAddr};

use ir::{Bind, BindId};
use manifest::{Object, kind};
use serde::Serialize;

use crate::attach::GatewayState;

/// The label that names the Gateway that something was made for (GEP-1762).
const GATEWAY_LABEL: &str = "gateway.networking.k8s.io/gateway-name";
/// The label that names its class.
const CLASS_LABEL: &str = "gateway.networking.k8s.io/gateway-class-name";
/// A label's value is no longer.
const LONGEST_VALUE: usize = 63;

/// What a Gateway is to those around it: the Service that a controller in a cluster would make for it, with the
/// labels and annotations of its `infrastructure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GatewayService {
    /// The Gateway's.
    pub namespace: String,
    /// The Gateway's.
    pub gateway: String,
    /// The Gateway's class.
    pub class: String,
    /// Those of `infrastructure`, and the names of the Gateway and of its class.
    pub labels: BTreeMap<String, String>,
    /// Those of `infrastructure`.
    pub annotations: BTreeMap<String, String>,
    /// Where it is; none on the wildcard, which says nothing to anybody else.
    pub addresses: Vec<IpAddr>,
    /// The ports on which requests are served, sorted, each with what listens there.
    pub ports: Vec<(u16, BindId)>,
}

/// One for each Gateway that is served.
pub(crate) fn services(gateways: &[GatewayState<'_>], binds: &[Bind]) -> Vec<GatewayService> {
    gateways.iter().filter_map(|state| service(state, binds)).collect()
}

fn service(state: &GatewayState<'_>, binds: &[Bind]) -> Option<GatewayService> {
    let object: &Object<kind::Gateway> = state.gateway.object;
    let (namespace, gateway) = state.key();
    let prefix = format!("{namespace}/{gateway}:");
    let mut ports: Vec<(u16, BindId)> = binds
        .iter()
        .filter(|bind| bind.id.0.starts_with(&prefix))
        .filter_map(|bind| Some((bind.sockets.first()?.port, bind.id.clone())))
        .collect();
    ports.sort();
    if ports.is_empty() {
        return None;
    }
    let class = &state.gateway.spec.gateway_class_name;
    let kind::Infrastructure { mut labels, annotations, parameters_ref: _ } =
        state.gateway.spec.infrastructure.clone().unwrap_or_default();
    for (label, value) in [(GATEWAY_LABEL, &*object.id.name), (CLASS_LABEL, class)] {
        if value.len() <= LONGEST_VALUE {
            labels.insert(label.to_owned(), value.to_owned());
        }
    }
    let addresses = state.addresses.bound.iter().filter(|address| !address.is_unspecified()).copied();
    Some(GatewayService {
        namespace: namespace.to_owned(),
        gateway: gateway.to_owned(),
        class: class.clone(),
        labels,
        annotations,
        addresses: addresses.collect(),
        ports,
    })
}
