use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use serde::Serialize;

use crate::UpstreamTls;

/// What is dialled for one backend of one rule: endpoints, protocol, and every effective backend setting.
/// Interned by content in `translate`: equal upstreams are one `Arc` with one [`UpstreamId`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Upstream {
    /// Stable over reloads as long as the backend and its settings (not its endpoints) stay the same: the key
    /// of carried pools and health.
    pub id: UpstreamId,
    /// What the manifest names, for logs and metrics: `Service default/tea-svc:80`.
    pub name: Arc<str>,
    /// Tried from a rotating start; the next one on a connect failure. Empty: 503.
    pub endpoints: Vec<Endpoint>,
    /// What is spoken.
    pub protocol: UpstreamProtocol,
    /// TLS around it; `None`: it is spoken in the clear.
    pub tls: Option<Arc<UpstreamTls>>,
    /// Limits and timers.
    pub settings: UpstreamSettings,
}

/// The key of what outlives a reload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct UpstreamId(pub Arc<str>);

impl fmt::Display for UpstreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Endpoint {
    /// Where to connect.
    pub address: EndpointAddress,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum EndpointAddress {
    /// An IPv4 or IPv6 address and port.
    Ip(SocketAddr),
    /// A name, resolved again while it is in use, and a port.
    Dns {
        /// The name, lower case.
        host: Arc<str>,
        /// The port of every address that it resolves to.
        port: u16,
    },
    /// A Unix stream socket.
    Unix(PathBuf),
}

impl fmt::Display for EndpointAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dns { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is spoken to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 (WebSocket included).
    #[default]
    Http1,
    /// HTTP/2: in the clear with prior knowledge (RFC 9113 §3.3), in TLS by ALPN.
    H2c,
}

/// Limits and timers of an upstream. Defaults are Envoy's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UpstreamSettings {
    /// Time for a connection to be established (10 s in Envoy Gateway).
    pub connect_timeout: Duration,
    /// How long an unused connection is kept (1 h).
    pub idle_timeout: Option<Duration>,
    /// Circuit breaker: most connections, over all workers (1,024).
    pub max_connections: u32,
    /// Circuit breaker: most requests in flight, over all workers (1,024).
    pub max_requests: u32,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Some(Duration::from_secs(3600)),
            max_connections: 1024,
            max_requests: 1024,
        }
    }
}
