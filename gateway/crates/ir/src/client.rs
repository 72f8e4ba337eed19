use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, Quantity};

/// What holds on the client's side of one listener: its ClientTrafficPolicy's spec, with defaults filled in.
/// Source of names and defaults: Envoy Gateway `ClientTrafficPolicy`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientSettings {
    /// Connection limit and buffer.
    pub connection: ConnectionSettings,
    /// Keepalive of accepted sockets; absent: off.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// PROXY protocol before anything else on the connection; absent: off.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// How the client's address is found.
    pub client_ip: ClientIpDetection,
    /// Timers.
    pub timeouts: ClientTimeouts,
    /// Header handling before routing.
    pub headers: HeaderSettings,
    /// Path normalisation before routing.
    pub path: PathSettings,
    /// HTTP/2 settings that are advertised and enforced.
    pub http2: Http2Settings,
}

/// Limits of a listener's connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionSettings {
    /// Most connections open at an instant, over all workers and addresses of the listener.
    pub limit: Option<ConnectionLimit>,
    /// Bytes that may wait in user space in each direction before reading stops (back-pressure, not a limit
    /// of any message).
    pub buffer_limit: u32,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self { limit: None, buffer_limit: 32 << 10 }
    }
}

/// `connection.connectionLimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionLimit {
    /// At least 1.
    pub value: u64,
    /// How long a connection over the limit is held before it is closed; `None`: it is refused at once. The
    /// kernel cannot hold connections, so with it user space alone refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub close_delay: Option<std::time::Duration>,
}

/// `tcpKeepalive`: its presence sets SO_KEEPALIVE; absent members keep the kernel's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpKeepalive {
    /// Probes without an answer before the connection is dropped (TCP_KEEPCNT; kernel default 9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub probes: Option<u32>,
    /// Idle time before the first probe, in whole seconds (TCP_KEEPIDLE; kernel default 7200 s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_time: Option<Duration>,
    /// Time between probes, in whole seconds (TCP_KEEPINTVL; kernel default 75 s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
}

/// `proxyProtocol`: a PROXY header, version 1 or 2, is read before TLS and HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyProtocol {
    /// True: a connection without a header is served with its socket's addresses. False: it is closed.
    #[serde(default)]
    pub optional: bool,
}

/// `clientIPDetection`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum ClientIpDetection {
    /// The peer (or the source in its PROXY header) is the client; X-Forwarded-For is appended to.
    #[default]
    Direct,
    /// The client is taken from X-Forwarded-For as received.
    XForwardedFor {
        /// Which of its entries are believed.
        trusted: TrustedForwarders,
        /// False: the peer's address is not appended before forwarding.
        append: bool,
    },
}

/// Which entries of X-Forwarded-For are believed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum TrustedForwarders {
    /// The Nth address from the right (0 means 1); with fewer entries the peer is the client.
    Hops(u32),
    /// If the peer is in a network of the list: the first address from the right that is not, or the leftmost.
    Networks(Vec<IpNet>),
}

/// Timers of the client's side. `None`: off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientTimeouts {
    /// `timeout.http.requestReceivedTimeout`: the whole request; 408 if bytes are missing at its end.
    pub request_received: Option<std::time::Duration>,
    /// `timeout.http.requestHeadersReceivedTimeout`: the header block after its first byte; 408.
    pub headers_received: Option<std::time::Duration>,
    /// `timeout.http.idleTimeout`: a connection without a request (default 1 h).
    pub idle: Option<std::time::Duration>,
    /// `timeout.http.streamIdleTimeout`: a request or response without a byte either way (default 5 min);
    /// 408, 504, or reset once a response has begun.
    pub stream_idle: Option<std::time::Duration>,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            request_received: None,
            headers_received: None,
            idle: Some(std::time::Duration::from_secs(3600)),
            stream_idle: Some(std::time::Duration::from_secs(300)),
        }
    }
}

/// `headers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeaderSettings {
    /// `headers.requestID`.
    pub request_id: RequestId,
    /// `headers.withUnderscoresAction`.
    pub underscores: Underscores,
}

/// `headers.requestID`: what becomes of `x-request-id`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RequestId {
    /// Keep the client's, else make one.
    PreserveOrGenerate,
    /// Keep the client's, never make one.
    Preserve,
    /// Always make a new one.
    #[default]
    Generate,
    /// Neither: what the client sent is forwarded untouched.
    Disable,
}

/// `headers.withUnderscoresAction`: what becomes of header names with `_`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Underscores {
    /// Forward them.
    Allow,
    /// 400 on HTTP/1, a stream reset on HTTP/2.
    #[default]
    RejectRequest,
    /// Remove the header.
    DropHeader,
}

/// `path`. Dot segments are always resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathSettings {
    /// Runs of `/` become one.
    pub merge_slashes: bool,
    /// What becomes of `%2F` and `%5C`.
    pub escaped_slashes: EscapedSlashes,
}

impl Default for PathSettings {
    fn default() -> Self {
        Self { merge_slashes: true, escaped_slashes: EscapedSlashes::UnescapeAndRedirect }
    }
}

/// `path.escapedSlashesAction`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum EscapedSlashes {
    /// Leave them.
    KeepUnchanged,
    /// 400.
    RejectRequest,
    /// Unescape, then go on.
    UnescapeAndForward,
    /// 307 to the unescaped path.
    #[default]
    UnescapeAndRedirect,
}

/// `http2`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Http2Settings {
    /// SETTINGS_MAX_CONCURRENT_STREAMS.
    pub max_concurrent_streams: u32,
    /// Receive window of a stream.
    pub initial_stream_window: Quantity,
    /// Receive window of the connection.
    pub initial_connection_window: Quantity,
}

impl Default for Http2Settings {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 100,
            initial_stream_window: Quantity::from_bytes(64 << 10),
            initial_connection_window: Quantity::from_bytes(1 << 20),
        }
    }
}
