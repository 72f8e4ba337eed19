mod below;
mod proxy_header;
mod tlvs;

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BytesMut};
use ebpf_common::proxy_protocol::Malformed;
use ipnet::IpNet;

pub(crate) use self::below::{Below, Full};
pub use self::below::{Seen, Sources};
use self::proxy_header::{HeaderReader, Verdict};
pub(crate) use self::tlvs::Tlvs;
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

/// What a PROXY header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Introduction {
    /// `None`: the socket's addresses are the client's.
    pub(crate) proxied: Option<Proxied>,
    /// `None`: nothing beside addresses.
    pub(crate) tlvs: Option<Tlvs>,
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

/// Reads a PROXY header off a connection. What follows it stays in `buffer`, and so does everything where there
/// is no header and none is needed. Waits as long as the client does: the caller sets the deadline.
pub(crate) async fn read_header(
    socket: &mut Socket,
    buffer: &mut BytesMut,
    scope: &Scope,
    peer: SocketAddr,
    settings: ir::ProxyProtocol,
) -> Result<Introduction, Refusal> {
    let ir::ProxyProtocol { optional } = settings;
    let trusted = scope.bind().trusted_senders.covers(peer.ip());
    let mut reader = HeaderReader::new(trusted, optional);
    loop {
        let read = socket.fill(buffer).await.map_err(|_| Refusal::Aborted)?;
        match if read == 0 { reader.end() } else { reader.read(buffer) } {
            Verdict::NeedMore => {}
            Verdict::Header { length, proxied } => {
                let tlvs = Tlvs::of_header(buffer.get(..length).unwrap_or_default()).map_err(malformed)?;
                buffer.advance(length);
                return Ok(Introduction { proxied, tlvs });
            }
            Verdict::Absent => return Ok(Introduction::default()),
            Verdict::Refused(refusal) => return Err(refusal),
        }
    }
}

fn malformed(reason: Malformed) -> Refusal {
    tracing::debug!(reason = reason.reason(), "malformed PROXY header");
    Refusal::ProxyMalformed
}
