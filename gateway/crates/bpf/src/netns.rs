use std::{io, net::UdpSocket, os::fd::AsRawFd};

use nix::libc;

use crate::Error;

/// The cookie of the thread's network namespace, unique until the next boot (SO_NETNS_COOKIE, kernel 5.14).
pub(crate) fn cookie() -> Result<u64, Error> {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).or_else(|_| UdpSocket::bind(("::1", 0)));
    let socket = socket.map_err(|source| Error::Netns { source })?;
    let mut cookie = 0u64;
    let mut length = size_of_val(&cookie) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, which `cookie` has.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if outcome == 0 { Ok(cookie) } else { Err(Error::Netns { source: io::Error::last_os_error() }) }
}
