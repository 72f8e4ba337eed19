use crate::{Diagnostic, Object, ObjectId, kind};

/// All objects in force, each kind sorted by namespace and name, and what is wrong with the files. A pure
/// function of the files' contents and what was in force before: the order of files does not matter.
#[derive(Clone, Debug, Default)]
pub struct ManifestSet {
    /// Cluster-scoped.
    pub gateway_classes: Vec<Object<kind::GatewayClass>>,
    /// `gateway.networking.k8s.io`.
    pub gateways: Vec<Object<kind::Gateway>>,
    /// `gateway.networking.k8s.io`.
    pub listener_sets: Vec<Object<kind::ListenerSet>>,
    /// `gateway.networking.k8s.io`.
    pub http_routes: Vec<Object<kind::HttpRoute>>,
    /// `gateway.networking.k8s.io`.
    pub reference_grants: Vec<Object<kind::ReferenceGrant>>,
    /// Core.
    pub namespaces: Vec<Object<kind::Namespace>>,
    /// Core, and `secrets/NAMESPACE/NAME/KEY`.
    pub secrets: Vec<Object<kind::Secret>>,
    /// Core, and `configmaps/NAMESPACE/NAME/KEY`.
    pub config_maps: Vec<Object<kind::ConfigMap>>,
    /// Core.
    pub services: Vec<Object<kind::Service>>,
    /// `discovery.k8s.io`.
    pub endpoint_slices: Vec<Object<kind::EndpointSlice>>,
    /// `gateway.envoyproxy.io`.
    pub backends: Vec<Object<kind::Backend>>,
    /// `gateway.networking.k8s.io`.
    pub backend_tls_policies: Vec<Object<kind::BackendTlsPolicy>>,
    /// `gateway.envoyproxy.io`.
    pub client_traffic_policies: Vec<Object<kind::ClientTrafficPolicy>>,
    /// `gateway.internal`.
    pub connection_policies: Vec<Object<kind::ConnectionPolicy>>,
    /// `gateway.internal`, cluster-scoped; one is in force.
    pub appliances: Vec<Object<kind::Appliance>>,
    /// Objects of kinds that are known and not modelled.
    pub unmodelled: Vec<ObjectId>,
    /// Sorted by file and place.
    pub diagnostics: Vec<Diagnostic>,
}
