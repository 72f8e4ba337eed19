use ipnet::IpNet;
use ir::{Duration, EscapedSlashes, ProxyProtocol, Quantity, RequestId, TcpKeepalive, Underscores};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{ENVOY_GATEWAY_GROUP, FieldError, GATEWAY_GROUP, Kind, PolicyTargetReference, Unserved};

/// What holds on the client's side of a Gateway, of a ListenerSet or of one listener. A policy with a narrower target
/// replaces a wider one's as a whole there: a listener's that of its ListenerSet, and this that of the Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientTrafficPolicy {
    /// The Gateway or ListenerSet that the policy is about (deprecated: `targetRefs`).
    pub target_ref: Option<PolicyTargetReference>,
    /// The Gateways and ListenerSets, or listeners of them by `sectionName`, that the policy is about.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub target_refs: Vec<PolicyTargetReference>,
    /// Selects targets by their labels.
    #[schemars(extend("x-gateway-unserved" = "targets are selected by reference only for now"))]
    pub target_selectors: Option<Unserved>,
    /// Keepalive probes on clients' connections; present, even empty: on.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// Expect a PROXY header (deprecated: `proxyProtocol`).
    pub enable_proxy_protocol: Option<bool>,
    /// Expect a PROXY header, version 1 or 2, before TLS and HTTP; present, even empty: on.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How the client's address is found; missing: the peer's, appended to X-Forwarded-For.
    #[serde(rename = "clientIPDetection")]
    pub client_ip_detection: Option<ClientIpDetection>,
    /// TLS that ends at the listener.
    pub tls: Option<Tls>,
    /// Paths before routing.
    pub path: Option<Path>,
    /// Headers before routing.
    pub headers: Option<Headers>,
    /// Timers.
    pub timeout: Option<Timeouts>,
    /// Connections and their buffers.
    pub connection: Option<Connection>,
    /// HTTP/1.
    #[schemars(extend("x-gateway-unserved" = "HTTP/1 options are not served yet"))]
    pub http1: Option<Unserved>,
    /// HTTP/2.
    pub http2: Option<Http2>,
    /// HTTP/3; present, even empty: on.
    #[schemars(extend("x-gateway-unserved" = "HTTP/3 is not served yet"))]
    pub http3: Option<Unserved>,
    /// gRPC.
    #[schemars(extend("x-gateway-unserved" = "gRPC-Web is not served yet"))]
    pub grpc: Option<Unserved>,
    /// A path that is answered here, for load balancers in front.
    #[schemars(extend("x-gateway-unserved" = "the health check path is not served yet"))]
    pub health_check: Option<Unserved>,
    /// The scheme that backends see.
    #[schemars(extend("x-gateway-unserved" = "the scheme is preserved; TLS to backends is not served yet"))]
    pub scheme: Option<Unserved>,
}

impl ClientTrafficPolicy {
    /// Every target, the deprecated singular first.
    pub fn targets(&self) -> impl Iterator<Item = &PolicyTargetReference> {
        self.target_ref.iter().chain(&self.target_refs)
    }
}

/// How the client's address is found: exactly one of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientIpDetection {
    /// From X-Forwarded-For as received.
    pub x_forwarded_for: Option<XForwardedFor>,
    /// From a header of one's own.
    #[schemars(extend("x-gateway-unserved" = "detection by a custom header is not served yet"))]
    pub custom_header: Option<Unserved>,
    /// The peer, or the source in its PROXY header.
    #[serde(rename = "directSourceIP")]
    pub direct_source_ip: Option<DirectSourceIp>,
}

/// Nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectSourceIp {}

/// Which entries of X-Forwarded-For are believed: exactly one of `numTrustedHops` and `trustedCIDRs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct XForwardedFor {
    /// The Nth entry from the right is the client (0 means 1); with fewer entries, the peer.
    pub num_trusted_hops: Option<u32>,
    /// If the peer is in one of these networks, the first entry from the right that is in none of them, or
    /// the leftmost; else the peer.
    #[serde(rename = "trustedCIDRs")]
    #[schemars(with = "Option<Vec<String>>", length(min = 1), extend("items" = {"type": "string", "format": "cidr"}))]
    pub trusted_cidrs: Option<Vec<IpNet>>,
    /// True: the peer's address is not appended before forwarding.
    pub disable_x_forwarded_for_append: Option<bool>,
}

/// TLS that ends at the listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// Lowest version; by default 1.2. Versions below are not served: with `1.0` or `1.1` service starts at 1.2.
    pub min_version: Option<TlsVersionName>,
    /// Highest version; by default 1.3.
    pub max_version: Option<TlsVersionName>,
    /// Suites for TLS 1.2, by OpenSSL or IANA name, in the order of preference.
    pub ciphers: Option<Vec<String>>,
    /// Key-exchange groups.
    #[schemars(extend("x-gateway-unserved" = "the library's key-exchange groups are offered"))]
    pub ecdh_curves: Option<Unserved>,
    /// Signature algorithms.
    #[schemars(extend("x-gateway-unserved" = "the library's signature algorithms are offered"))]
    pub signature_algorithms: Option<Unserved>,
    /// Protocols in the order of preference; by default `h2` and `http/1.1`. An empty list switches ALPN off.
    pub alpn_protocols: Option<Vec<String>>,
    /// Fingerprints of clients for logs and headers.
    #[schemars(extend("x-gateway-unserved" = "fingerprints are not served yet"))]
    pub fingerprints: Option<Unserved>,
    /// Client certificates.
    #[schemars(extend("x-gateway-unserved" = "client certificates are not served yet"))]
    pub client_validation: Option<Unserved>,
    /// Session resumption.
    #[schemars(extend("x-gateway-unserved" = "session resumption is not served yet"))]
    pub session: Option<Unserved>,
}

/// A TLS version as Envoy Gateway names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub enum TlsVersionName {
    /// The library chooses.
    Auto,
    /// RFC 2246; not served.
    #[serde(rename = "1.0")]
    V1_0,
    /// RFC 4346; not served.
    #[serde(rename = "1.1")]
    V1_1,
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// Paths before routing. Dot segments are always resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Path {
    /// What becomes of `%2F` and `%5C`; by default `UnescapeAndRedirect`.
    pub escaped_slashes_action: Option<EscapedSlashes>,
    /// True: runs of `/` stay.
    pub disable_merge_slashes: Option<bool>,
}

/// Headers before routing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Headers {
    /// What becomes of header names with `_`; by default `RejectRequest`.
    pub with_underscores_action: Option<Underscores>,
    /// What becomes of `x-request-id`; by default `Generate`.
    #[serde(rename = "requestID")]
    pub request_id: Option<RequestId>,
    /// True: as `requestID: PreserveOrGenerate` (deprecated).
    #[serde(rename = "preserveXRequestID")]
    pub preserve_x_request_id: Option<bool>,
    /// Whether `x-envoy-` headers are added and honoured.
    #[schemars(extend("x-gateway-unserved" = "there are no x-envoy- headers here"))]
    pub enable_envoy_headers: Option<Unserved>,
    /// Whether rate-limit headers are left out.
    #[schemars(extend("x-gateway-unserved" = "rate limits are not served yet"))]
    pub disable_rate_limit_headers: Option<Unserved>,
    /// What becomes of `x-forwarded-client-cert`.
    #[schemars(extend("x-gateway-unserved" = "client certificates are not served yet"))]
    pub x_forwarded_client_cert: Option<Unserved>,
    /// Edits before the route is chosen.
    #[schemars(extend("x-gateway-unserved" = "edits before routing are not served yet"))]
    pub early_request_headers: Option<Unserved>,
    /// Edits after everything else.
    #[schemars(extend("x-gateway-unserved" = "edits of every response are not served yet"))]
    pub late_response_headers: Option<Unserved>,
    /// Normalisation of the host.
    #[schemars(extend("x-gateway-unserved" = "host normalisation is not served yet"))]
    pub host: Option<Unserved>,
    /// Most bytes of a request's header.
    #[schemars(extend("x-gateway-unserved" = "the limit of 60 KiB cannot be changed yet"))]
    pub max_request_header_limit: Option<Unserved>,
}

/// Timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// Timers of TCP connections.
    #[schemars(extend("x-gateway-unserved" = "timers of TCP connections are not served yet"))]
    pub tcp: Option<Unserved>,
    /// Timers of HTTP.
    pub http: Option<HttpTimeouts>,
}

/// Timers of HTTP; `0s` switches one off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpTimeouts {
    /// Time for the whole request to arrive; 408. By default off.
    pub request_received_timeout: Option<Duration>,
    /// Time for the whole header to arrive after its first byte; 408. By default off.
    pub request_headers_received_timeout: Option<Duration>,
    /// A connection without a request is closed after this; by default 1 h.
    pub idle_timeout: Option<Duration>,
    /// A request or response without a byte either way ends after this; by default 5 min.
    pub stream_idle_timeout: Option<Duration>,
}

/// Connections and their buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connection {
    /// Most connections.
    pub connection_limit: Option<ConnectionLimit>,
    /// Bytes that may wait in each direction before reading stops; by default 32Ki. Fits 32 bits.
    pub buffer_limit: Option<Quantity>,
    /// SO_SNDBUF and SO_RCVBUF.
    #[schemars(extend("x-gateway-unserved" = "socket buffers keep the kernel's size"))]
    pub socket_buffer_limit: Option<Unserved>,
    /// Connections accepted per readiness event.
    #[schemars(extend("x-gateway-unserved" = "how many connections are accepted at once is not configurable"))]
    pub max_accept_per_socket_event: Option<Unserved>,
}

/// Most connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionLimit {
    /// Most connections open at an instant, per listener.
    #[schemars(range(min = 1))]
    pub value: Option<u64>,
    /// Holds a connection over the limit open for this long before it is closed; by default it is reset at once.
    /// Held connections have a cap of their own; beyond it they are reset.
    pub close_delay: Option<Duration>,
    /// Age at which a connection is drained.
    #[schemars(extend("x-gateway-unserved" = "the age of connections is not limited yet"))]
    pub max_connection_duration: Option<Unserved>,
    /// Requests after which a connection is drained.
    #[schemars(extend("x-gateway-unserved" = "requests per connection are not limited yet"))]
    pub max_requests_per_connection: Option<Unserved>,
    /// Age at which a stream ends.
    #[schemars(extend("x-gateway-unserved" = "the age of streams is not limited yet"))]
    pub max_stream_duration: Option<Unserved>,
}

/// HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Http2 {
    /// Receive window of a stream, 65535 to 2147483647; by default 64Ki.
    pub initial_stream_window_size: Option<Quantity>,
    /// Receive window of the connection, 65535 to 2147483647; by default 1Mi.
    pub initial_connection_window_size: Option<Quantity>,
    /// Streams that a client may have open; by default 100.
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub max_concurrent_streams: Option<u32>,
    /// Whether a malformed message ends the connection or the stream.
    #[schemars(extend("x-gateway-unserved" = "a malformed message ends its stream, a protocol error the connection"))]
    pub on_invalid_message: Option<Unserved>,
    /// Liveness by PING.
    #[schemars(extend("x-gateway-unserved" = "PING keepalive is not served yet"))]
    pub connection_keepalive: Option<Unserved>,
}

impl Kind for ClientTrafficPolicy {
    const KIND: &'static str = "ClientTrafficPolicy";
    const GROUP: &'static str = ENVOY_GATEWAY_GROUP;
    const VERSIONS: &'static [&'static str] = &["v1alpha1"];
    const NAMESPACED: bool = true;
    const CORE: bool = false;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut refuse = |path: &str, message: String| errors.push(FieldError::new(path, message));
        match (&self.target_ref, self.target_refs.is_empty(), self.target_selectors) {
            (Some(_), false, _) => {
                refuse("spec.targetRefs", "`targetRef` and `targetRefs` exclude each other".into())
            }
            (None, true, None) => {
                refuse(
                    "spec",
                    "expected a target: one of `targetRef`, `targetRefs`, `targetSelectors`".into(),
                );
            }
            _ => {}
        }
        let singular = self.target_ref.iter().map(|target| ("spec.targetRef".to_owned(), target));
        let plural = self.target_refs.iter().enumerate();
        for (path, target) in
            singular.chain(plural.map(|(index, target)| (format!("spec.targetRefs[{index}]"), target)))
        {
            if target.group != GATEWAY_GROUP {
                refuse(&format!("{path}.group"), format!("`{}`: expected {GATEWAY_GROUP}", target.group));
            }
            if !matches!(target.kind.as_str(), "Gateway" | "ListenerSet") {
                refuse(
                    &format!("{path}.kind"),
                    format!("`{}`: expected Gateway or ListenerSet", target.kind),
                );
            }
        }
        if let Some(detection) = &self.client_ip_detection {
            detection.check(&mut refuse);
        }
        if let Some(tls) = &self.tls {
            tls.check(&mut refuse);
        }
        if let Some(headers) = &self.headers
            && headers.request_id.is_some()
            && headers.preserve_x_request_id.is_some()
        {
            refuse(
                "spec.headers.preserveXRequestID",
                "`requestID` and `preserveXRequestID` exclude each other".into(),
            );
        }
        if let Some(Connection { connection_limit: Some(limit), .. }) = &self.connection
            && limit.close_delay.is_some()
            && limit.value.is_none()
        {
            refuse("spec.connection.connectionLimit.closeDelay", "`closeDelay` needs `value`".into());
        }
        errors
    }
}

impl ClientIpDetection {
    fn check(&self, refuse: &mut impl FnMut(&str, String)) {
        let given =
            [self.x_forwarded_for.is_some(), self.custom_header.is_some(), self.direct_source_ip.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            let message = "expected exactly one of `xForwardedFor`, `customHeader`, `directSourceIP`";
            refuse("spec.clientIPDetection", message.into());
        }
        if let Some(forwarded) = &self.x_forwarded_for
            && forwarded.num_trusted_hops.is_some() == forwarded.trusted_cidrs.is_some()
        {
            let message = "expected exactly one of `numTrustedHops`, `trustedCIDRs`";
            refuse("spec.clientIPDetection.xForwardedFor", message.into());
        }
    }
}

impl Tls {
    fn check(&self, refuse: &mut impl FnMut(&str, String)) {
        let numbered = |version: &TlsVersionName| *version != TlsVersionName::Auto;
        if let (Some(min), Some(max)) = (self.min_version.filter(numbered), self.max_version.filter(numbered))
            && min > max
        {
            refuse("spec.tls.minVersion", "the lowest version is above `maxVersion`".into());
        }
        if self.min_version == Some(TlsVersionName::V1_3)
            && self.ciphers.as_ref().is_some_and(|list| !list.is_empty())
        {
            refuse(
                "spec.tls.ciphers",
                "with `minVersion` 1.3 there is nothing to choose: its suites are fixed".into(),
            );
        }
    }
}
