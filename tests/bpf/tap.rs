//! Frames on a wire, sent and seen as they are.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

use nix::{
    libc,
    net::if_::if_nametoindex,
    sys::socket::{setsockopt, sockopt},
};

/// A packet socket (packet(7)) on an interface of the namespace that it was opened in.
pub struct Tap(OwnedFd);

impl Tap {
    /// Opens it in the thread's namespace. What is received waits at most half a second for more.
    pub fn open(interface: &str) -> io::Result<Self> {
        let all = (libc::ETH_P_ALL as u16).to_be();
        // SAFETY: takes numbers only.
        let socket =
            unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, all.into()) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // A frame takes a page or more there.
        setsockopt(&socket, sockopt::RcvBufForce, &(32 << 20))?;
        // SAFETY: all zeros is a valid address of this family.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all;
        address.sll_ifindex = if_nametoindex(interface)? as i32;
        let length = size_of_val(&address) as u32;
        // SAFETY: the address is of the socket's family and of that length.
        if unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let patience = libc::timeval { tv_sec: 0, tv_usec: 500_000 };
        // SAFETY: the option is a `timeval`.
        let outcome = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVTIMEO,
                (&raw const patience).cast(),
                size_of_val(&patience) as u32,
            )
        };
        if outcome == 0 { Ok(Self(socket)) } else { Err(io::Error::last_os_error()) }
    }

    /// Sends a frame.
    pub fn send(&self, frame: &[u8]) {
        let sent = nix::unistd::write(&self.0, frame).expect("the interface is up");
        assert_eq!(sent, frame.len());
    }

    /// The next frame; `None`: there is none.
    pub fn receive(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 2048];
        let length = nix::unistd::read(&self.0, &mut frame).ok()?;
        frame.truncate(length);
        Some(frame)
    }
}
