use std::{fmt, net::IpAddr, sync::Arc};

use serde::Serialize;

use crate::{Appliance, ClientSettings, ConnectionRules, Hostname, Tls, VirtualHost};

/// The whole desired state. Plain, comparable, printable; policies are already merged onto each listener.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Settings of the process.
    pub appliance: Appliance,
    /// What is bound, sorted by id.
    pub binds: Vec<Bind>,
}

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Transport {
    /// Stream sockets.
    Tcp,
    /// Datagram sockets.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// One listening address. An IPv6 socket is V6ONLY; the wildcard of both families is two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SocketKey {
    /// TCP or UDP.
    pub transport: Transport,
    /// The address, possibly unspecified.
    pub address: IpAddr,
    /// The port, never 0.
    pub port: u16,
}

impl fmt::Display for SocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", std::net::SocketAddr::new(self.address, self.port), self.transport)
    }
}

/// Names a [`Bind`]: `namespace/gateway:port/TCP`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BindId(pub Arc<str>);

impl fmt::Display for BindId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One port of one Gateway: the sockets of all its addresses and the listeners that share them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bind {
    /// Stable over reloads.
    pub id: BindId,
    /// One per address of the Gateway.
    pub sockets: Vec<SocketKey>,
    /// What is spoken on the port; all listeners agree.
    pub protocol: Protocol,
    /// Settings of the socket and of the time before a listener is known (keepalive, PROXY protocol, buffer).
    /// With several TLS listeners on the port they are the first one's; `translate` reports the rest.
    pub client: Arc<ClientSettings>,
    /// At least one, in the Gateway's order. Clear text: chosen per request by host. TLS: by SNI.
    pub listeners: Vec<Arc<Listener>>,
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Protocol {
    /// HTTP/1 and h2c in the clear.
    Http,
    /// HTTP/1 and HTTP/2 in TLS, ended here.
    Https,
}

/// Names a listener: `namespace/gateway/listener`, or, in a ListenerSet of the Gateway,
/// `namespace/gateway/namespace/listenerset/listener`. The key of its connection count and metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ListenerId(pub Arc<str>);

impl fmt::Display for ListenerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names a policy, whose kind the context tells: `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PolicyName(pub Arc<str>);

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The policies that govern a listener, one of each kind at most: named where a connection is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PolicyNames {
    /// The ClientTrafficPolicy.
    pub client: Option<PolicyName>,
    /// The ConnectionPolicy.
    pub connection: Option<PolicyName>,
}

/// One listener of a Gateway that is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listener {
    /// Stable over reloads.
    pub id: ListenerId,
    /// `None`: any host.
    pub hostname: Option<Hostname>,
    /// Present if and only if the bind's protocol is [`Protocol::Https`].
    pub tls: Option<Tls>,
    /// The effective client policy.
    pub client: Arc<ClientSettings>,
    /// The effective connection policy; `None`: there is none. On a clear-text port the first listener's holds for
    /// all.
    pub connection: Option<Arc<ConnectionRules>>,
    /// Who has set what is in `client` and `connection`.
    pub policies: PolicyNames,
    /// Sorted from the most specific hostname to none.
    pub hosts: Vec<VirtualHost>,
    /// True: a policy on this listener never was good, so every request is answered 500.
    pub broken: bool,
}
