//! The kinds we model, one module each: the spec as the user writes it. Defaults are applied by accessors
//! and in `translate`, never by rewriting what was read.
//!
//! Every field that the kind's CRD knows is present. A field that is not served yet is an
//! [`Option<Unserved>`](Unserved) whose schema says why under [`UNSERVED`]. Ranges, lengths, patterns and
//! enumerations stand in the derived schema, which the loader checks before typing; rules that span several
//! fields (the CRD's CEL rules) are [`Kind::check`].

mod appliance;
mod backend;
mod backend_tls_policy;
mod client_traffic_policy;
mod config_map;
mod connection_policy;
mod endpoint_slice;
mod field;
mod gateway;
mod gateway_class;
mod gateway_tls;
mod http_filter;
mod http_route;
mod label;
mod listener_set;
mod namespace;
mod reference;
mod reference_grant;
mod secret;
mod service;

pub use appliance::{Appliance, ApplianceAdmin, ApplianceLog, ApplianceProxyProtocol};
pub use backend::{
    Backend, BackendAppProtocol, BackendEndpoint, BackendType, FqdnEndpoint, IpEndpoint, UnixEndpoint,
};
pub use backend_tls_policy::{
    BackendTlsPolicy, BackendTlsValidation, SubjectAltNameSpec, SubjectAltNameType,
};
pub use client_traffic_policy::{
    ClientIpDetection, ClientTrafficPolicy, Connection, ConnectionLimit, DirectSourceIp, Headers, Http2,
    HttpTimeouts, Path, Timeouts, Tls, TlsVersionName, XForwardedFor,
};
pub use config_map::ConfigMap;
pub use connection_policy::{
    ClientCidrs, ConcurrentConnections, ConnectionAction, ConnectionActionType, ConnectionPolicy,
    ConnectionRates, ListenerProxyProtocol, PerPrefix, PerSource, ProxyProtocolHeader, Rate,
};
pub use endpoint_slice::{AddressType, EndpointConditions, EndpointPort, EndpointSlice, SliceEndpoint};
pub use field::{FieldError, Kind, UNSERVED, Unserved};
pub use gateway::{
    AllowedRoutes, Gateway, GatewayAddress, Infrastructure, Listener, ListenerTls, RouteGroupKind,
    RouteNamespaces, RouteNamespacesFrom, TlsMode,
};
pub use gateway_class::{GatewayClass, ParametersReference};
pub use gateway_tls::{
    FrontendPortTls, FrontendTls, FrontendTlsConfig, FrontendValidation, GatewayBackendTls, GatewayTls,
};
pub use http_filter::{
    HttpFilter, HttpFilterType, HttpPathModifier, HttpPathModifierType, HttpRequestMirror,
    HttpRequestRedirect, HttpUrlRewrite, MirrorBackendRef, MirrorFraction, RedirectScheme,
};
pub use http_route::{
    BackendRef, HeaderMatch, HttpMethod, HttpPathMatch, HttpRoute, HttpRouteMatch, HttpRouteRule,
    HttpRouteTimeouts, MatchType, PathMatchType, QueryParamMatch,
};
pub use listener_set::{
    AllowedListeners, ListenerNamespaces, ListenerNamespacesFrom, ListenerSet, ParentGatewayReference,
};
pub use namespace::Namespace;
pub use reference::{
    LabelRequirement, LabelSelector, LocalObjectReference, LocalParametersReference, ObjectReference,
    ParentReference, PolicyTargetReference, SecretReference, SelectorOperator,
};
pub use reference_grant::{ReferenceGrant, ReferenceGrantFrom, ReferenceGrantTo};
pub use secret::{Secret, SecretBytes, SecretText};
pub use service::{Service, ServicePort, ServiceType};

/// Gateway API's group.
pub const GATEWAY_GROUP: &str = "gateway.networking.k8s.io";
/// Envoy Gateway's group.
pub const ENVOY_GATEWAY_GROUP: &str = "gateway.envoyproxy.io";
/// Our own group.
pub const OWN_GROUP: &str = "gateway.internal";

/// RFC 1123 labels, for names of sections.
pub(crate) const SECTION_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// An API group, or nothing for the core group.
const GROUP: &str = r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// A kind's name.
const KIND: &str = "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$";
/// A namespace's name.
const NAMESPACE: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A header's or query parameter's name in a match: a token of RFC 9110 §5.6.2.
const TOKEN: &str = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$";
