//! The vocabulary of the gateway: what the configuration *means*, with every decision taken.
//!
//! `translate` makes an [`Gateway`] out of manifests, `proxy` builds a snapshot from it. This crate knows
//! neither side: no IO, no async, no YAML text. Leaf settings ([`TcpKeepalive`], [`HeaderModifier`], ...)
//! are written once, here, and embedded as they are in the manifest types, which is why they derive
//! `Deserialize` and `JsonSchema`; everything else is plain data that can be compared and printed.
//!
//! Values that need compiling ([`Pattern`], [`CertifiedKey`], [`Authorities`], [`CipherSuites`]) are compiled when they are
//! made and compare by their source, so that building a snapshot from an `ir::Gateway` cannot fail.

mod appliance;
mod authority;
mod client;
mod connection;
mod cors;
mod duration;
mod filter;
mod hostname;
mod listener;
mod mirror;
mod pattern;
mod quantity;
mod redirect;
mod rewrite;
mod route;
mod tls;
mod tlv;
mod upstream;
mod upstream_tls;

pub use appliance::{
    AccessLogFormat, Appliance, CONTROLLER_NAME, ENVOY_GATEWAY_CONTROLLER_NAME, KernelMode, KernelSettings,
    KernelTier,
};
pub use authority::{Authorities, AuthoritiesError};
pub use client::{
    ClientIpDetection, ClientSettings, ClientTimeouts, ConnectionLimit, ConnectionSettings, EscapedSlashes,
    HeaderSettings, Http2Settings, PathSettings, ProxyProtocol, RequestId, TcpKeepalive, TrustedForwarders,
    Underscores,
};
pub use connection::{
    ConnectionRate, ConnectionRules, KeyedRate, PrefixLimit, RateUnit, RefusalAction, SourceKey, SourceLimit,
    SourceNetworks, canonical_network,
};
pub use cors::{Cors, CorsMethod, CorsOrigin, CorsOriginError};
pub use duration::{Duration, DurationError};
pub use filter::{Filter, HeaderEdit, HeaderModifier};
pub use hostname::{Hostname, HostnameError};
pub use listener::{
    Bind, BindId, Gateway, Listener, ListenerId, PolicyName, PolicyNames, Protocol, SocketKey, Transport,
};
pub use mirror::Mirror;
pub use pattern::{Pattern, PatternError};
pub use quantity::{Quantity, QuantityError};
pub use redirect::{Redirect, RedirectScheme};
pub use rewrite::{PathRewrite, UrlRewrite};
pub use route::{
    Action, BackendChoice, BackendTarget, HeaderMatch, HttpMatch, HttpRule, Matcher, PathMatch, QueryMatch,
    RouteTimeouts, RuleEntry, RuleId, VirtualHost,
};
pub use tls::{
    CertifiedKey, CertifiedKeyError, CipherName, CipherSuites, ClientValidation, ClientValidationMode, Tls,
    TlsVersion,
};
pub use tlv::{ProxyTlv, ProxyTlvError, TlvHeader};
pub use upstream::{Endpoint, EndpointAddress, Upstream, UpstreamId, UpstreamProtocol, UpstreamSettings};
pub use upstream_tls::{ServerName, ServerNameError, SubjectAltName, UpstreamTls};
