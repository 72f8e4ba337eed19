use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use ir::{SocketKey, TcpKeepalive, Transport};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel completes ahead of accept, per socket; the kernel caps it at somaxconn.
const BACKLOG: i32 = 4096;

/// Why a socket is not bound. A condition of its listeners; the others go on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {key}: {reason}")]
pub struct BindError {
    /// The address and port.
    pub key: SocketKey,
    /// What the kernel said.
    #[source]
    pub reason: io::Error,
}

/// Every listening socket of the process, held by the main thread: one per worker and key. A worker has a
/// descriptor of its own for each of its sockets.
#[derive(Default)]
pub(crate) struct Sockets(BTreeMap<SocketKey, Bound>);

/// The sockets of one key: one per worker, or more, where an earlier process had more workers.
#[derive(Default)]
pub(crate) struct Bound(Vec<Socket>);

impl Sockets {
    /// True if the key's sockets listen.
    pub(crate) fn has(&self, key: &SocketKey) -> bool {
        self.0.contains_key(key)
    }

    /// Takes over sockets that listen.
    pub(crate) fn insert(&mut self, key: SocketKey, bound: Bound) {
        self.0.insert(key, bound);
    }

    /// Gives up every socket whose key does not satisfy the condition. Workers' descriptors stay open.
    pub(crate) fn remove_unless(&mut self, keep: impl Fn(&SocketKey) -> bool) -> Vec<SocketKey> {
        self.0.extract_if(.., |key, _| !keep(key)).map(|(key, _)| key).collect()
    }

    /// The keys, with the sockets of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SocketKey, &Bound)> {
        self.0.iter()
    }

    /// The sockets of a key.
    pub(crate) fn at(&self, key: &SocketKey) -> Option<&Bound> {
        self.0.get(key)
    }
}

impl Bound {
    /// Binds `count` sockets to one address, without listening yet.
    pub(crate) fn bind(key: SocketKey, count: usize) -> Result<Self, BindError> {
        let bound: io::Result<Vec<Socket>> = (0..count).map(|_| bind(&key)).collect();
        bound.map(Self).map_err(|reason| BindError { key, reason })
    }

    /// From now on the kernel completes connections.
    pub(crate) fn listen(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|socket| socket.listen(BACKLOG))
    }

    /// Sets the keepalive that accepted sockets inherit.
    pub(crate) fn set_keepalive(&self, keepalive: Option<&TcpKeepalive>) -> io::Result<()> {
        self.0.iter().try_for_each(|socket| set_keepalive(socket, keepalive))
    }

    /// Descriptors of a worker's sockets for the worker to keep. Closing a socket would reset what is queued there, so
    /// that one more than there are workers is lent to one of them too.
    pub(crate) fn lend(&self, worker: usize, workers: usize) -> io::Result<Vec<OwnedFd>> {
        let own = self.0.iter().skip(worker).step_by(workers);
        own.map(|socket| Ok(socket.try_clone()?.into())).collect()
    }

    /// A listening socket that another process has opened.
    pub(crate) fn add(&mut self, socket: Socket) {
        self.0.push(socket);
    }

    /// Further descriptors of the same sockets, and of new ones until there are `count`. A new one that cannot be had
    /// is done without: there are others.
    pub(crate) fn share(&self, key: SocketKey, count: usize) -> io::Result<Self> {
        let mut all = self.0.iter().map(Socket::try_clone).collect::<io::Result<Vec<Socket>>>()?;
        while all.len() < count {
            match bind(&key) {
                Ok(socket) => all.push(socket),
                Err(error) => {
                    tracing::warn!(%key, %error, "a worker goes without a socket of its own");
                    break;
                }
            }
        }
        Ok(Self(all))
    }

    /// Their descriptors.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(AsFd::as_fd)
    }
}

/// The key of a socket that listens as ours do. `None`: it does not.
pub(crate) fn key_of(socket: &Socket) -> Option<SocketKey> {
    let address = socket.local_addr().ok()?.as_socket()?;
    let listens = socket.is_listener().ok()? && socket.protocol().ok()? == Some(Protocol::TCP);
    let ours = listens && socket.reuse_port().ok()? && (address.is_ipv4() || socket.only_v6().ok()?);
    ours.then(|| SocketKey { transport: Transport::Tcp, address: address.ip(), port: address.port() })
}

fn bind(key: &SocketKey) -> io::Result<Socket> {
    let address = SocketAddr::new(key.address, key.port);
    if key.transport != Transport::Tcp {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // Inherited by accepted sockets.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn set_keepalive(socket: &Socket, keepalive: Option<&TcpKeepalive>) -> io::Result<()> {
    socket.set_keepalive(keepalive.is_some())?;
    let Some(TcpKeepalive { probes, idle_time, interval }) = keepalive.copied() else { return Ok(()) };
    // Where a setting names nothing, a socket that nothing was set on has what the kernel uses (sysctl
    // net.ipv4.tcp_keepalive_*; a service that sees only its own /proc cannot read it there). Set explicitly,
    // since a reload may take a member away from a socket that has it.
    let fresh = Socket::new(socket.domain()?, Type::STREAM, Some(Protocol::TCP))?;
    let seconds = |wanted: Option<ir::Duration>, kernel: Duration| {
        Duration::from_secs(wanted.map_or(kernel, ir::Duration::std).as_secs().clamp(1, MAX_SECONDS))
    };
    let parameters = socket2::TcpKeepalive::new()
        .with_time(seconds(idle_time, fresh.tcp_keepalive_time()?))
        .with_interval(seconds(interval, fresh.tcp_keepalive_interval()?))
        .with_retries(probes.unwrap_or(fresh.tcp_keepalive_retries()?).clamp(1, 127));
    socket.set_tcp_keepalive(&parameters)
}

/// What TCP_KEEPIDLE and TCP_KEEPINTVL accept at most. Source: MAX_TCP_KEEPIDLE in the kernel's `net/tcp.h`.
const MAX_SECONDS: u64 = 32767;
