use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use ipnet::IpNet;

use crate::{connection::Socket, refusal::Refusal, snapshot::Scope};

/// Who is calling: the socket's addresses, and what a PROXY header of a trusted sender says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The other end of the socket. IPv4 addresses are never v4-mapped here.
    pub(crate) peer: SocketAddr,
    /// Our end of the socket.
    pub(crate) local: SocketAddr,
    /// The addresses in a PROXY header, if there was one that names addresses (not LOCAL, not UNKNOWN).
    pub(crate) proxied: Option<Proxied>,
}

/// The addresses of a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Proxied {
    /// The client that the sender serves.
    pub(crate) source: SocketAddr,
    /// Where that client connected to.
    pub(crate) destination: SocketAddr,
}

impl Source {
    /// The client as far as the connection tells: the proxied source, else the peer. What X-Forwarded-For is
    /// appended with.
    pub(crate) fn client(&self) -> SocketAddr {
        self.proxied.map_or(self.peer, |proxied| proxied.source)
    }
}

/// Networks whose members may send PROXY headers.
pub(crate) struct TrustedSenders(Box<[IpNet]>);

impl TrustedSenders {
    /// These networks.
    pub(crate) fn new(networks: &[IpNet]) -> Self {
        Self(networks.into())
    }

    /// True if the address lies in one of them.
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Reads a PROXY header off a connection. What follows it stays in `buffer`.
pub(crate) async fn read_header(
    _socket: &mut Socket,
    _buffer: &mut BytesMut,
    _scope: &Scope,
    _peer: SocketAddr,
    _settings: ir::ProxyProtocol,
) -> Result<Option<Proxied>, Refusal> {
    Err(Refusal::ProxyMalformed)
}
