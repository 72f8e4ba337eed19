//! Connections from an address of one's own choice, and ends of one's own choice.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::AsRawFd,
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
        },
        time::{TimeVal, TimeValLike},
    },
};

/// Connects from an address of the thread's namespace. The error is `TimedOut` if there was no answer in time.
pub fn from(source: &str, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let source: IpAddr = source.parse().map_err(|_| ErrorKind::InvalidInput)?;
    between(SocketAddr::new(source, 0), to, patience)
}

/// Likewise, from a port of one's own choice too.
pub fn between(source: SocketAddr, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let family = if to.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // How long a blocking connect waits, too.
    let micros = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::microseconds(micros))?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(source))?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
        Err(Errno::EINPROGRESS) => Err(ErrorKind::TimedOut.into()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(TcpStream::from(socket)),
    }
}

/// From now on closing sends a reset.
pub fn reset_on_close(stream: &TcpStream) {
    // On a socket that was reset already this fails, and nothing is lost.
    let _ = setsockopt(stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 });
}
