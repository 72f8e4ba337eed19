use std::{
    collections::BTreeSet,
    fmt,
    net::IpAddr,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    libc,
    net::if_::InterfaceFlags,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
    },
};

use super::address;

/// The groups in which the kernel tells of links and addresses, as bits (rtnetlink(7)).
const GROUPS: libc::c_int = libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR | libc::RTMGRP_IPV6_IFADDR;

/// Tells that interfaces or addresses of this network namespace are others than before. The kernel's messages only say
/// when to look: what counts is what is there, so that none may be missed or misread.
#[derive(Debug)]
pub(crate) struct Events {
    /// An error: the kernel tells nothing, and whoever looks again later finds out.
    socket: nix::Result<OwnedFd>,
    seen: BTreeSet<Carried>,
}

/// An interface, or an address that it carries. A new interface of an old name has another index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Carried {
    interface: String,
    index: Option<usize>,
    /// Up, and what belongs to another interface, as a bond's.
    flags: i32,
    address: Option<IpAddr>,
}

/// What is other than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// An address has come or gone, interfaces perhaps too.
    Addresses,
    /// Interfaces only.
    Interfaces,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Addresses => "addresses",
            Self::Interfaces => "interfaces",
        })
    }
}

impl Events {
    /// From now on. To be opened before anything that is to be followed is looked at.
    pub(crate) fn open() -> Self {
        Self { socket: listen(), seen: look() }
    }

    /// Says what does not work, once there is a log.
    pub(crate) fn say(&self) {
        if let Err(error) = &self.socket {
            tracing::warn!(%error, "the kernel does not tell of interfaces and addresses: they are looked at every 30 s");
        }
    }

    /// What has changed since the last call, if the kernel has told of anything.
    pub(crate) fn take(&mut self) -> Option<Change> {
        self.drain().then(|| self.look_again())?
    }

    /// What has changed since the last call, whether or not anybody has told.
    pub(crate) fn look_again(&mut self) -> Option<Change> {
        let before = std::mem::replace(&mut self.seen, look());
        let mut others = before.symmetric_difference(&self.seen).peekable();
        others.peek()?;
        let is_address = others.any(|carried| carried.address.is_some());
        Some(if is_address { Change::Addresses } else { Change::Interfaces })
    }

    /// True: there was a message, or there were too many to keep (ENOBUFS).
    fn drain(&self) -> bool {
        let Ok(socket) = &self.socket else { return false };
        let (mut told, mut message) = (false, [0; 64]);
        loop {
            match recv(socket.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT) {
                Ok(_) | Err(Errno::ENOBUFS) => told = true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return told,
                Err(error) => {
                    tracing::error!(%error, "cannot read what the kernel tells of interfaces and addresses");
                    return told;
                }
            }
        }
    }

    /// Readable when there may be something to take; `None`: never.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().ok().map(AsFd::as_fd)
    }
}

fn listen() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, GROUPS.cast_unsigned()))?;
    Ok(socket)
}

/// Every interface, with and without addresses.
fn look() -> BTreeSet<Carried> {
    let kept = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_SLAVE | InterfaceFlags::IFF_MASTER;
    let carried = getifaddrs().into_iter().flatten().map(|entry| {
        let storage = entry.address.as_ref();
        Carried {
            index: storage.and_then(|storage| storage.as_link_addr()).map(|link| link.ifindex()),
            flags: (entry.flags & kept).bits(),
            address: storage.and_then(address),
            interface: entry.interface_name,
        }
    });
    carried.collect()
}

#[cfg(test)]
mod tests {
    use std::{process::Command, thread};

    use nix::{
        sched::{CloneFlags, unshare},
        sys::socket::{setsockopt, sockopt::RcvBuf},
    };

    use super::*;

    fn ip(words: &str) {
        let status = Command::new("ip").args(words.split(' ')).status().expect("iproute2 is installed");
        assert!(status.success(), "ip {words}");
    }

    /// On a thread that has a network namespace of its own; not without root.
    fn in_a_namespace(test: impl FnOnce() + Send) {
        if !nix::unistd::geteuid().is_root() {
            let required = std::env::var("GATEWAY_TEST_REQUIRE").is_ok_and(|tiers| tiers.contains("netns"));
            assert!(!required, "GATEWAY_TEST_REQUIRE names netns, and this is not root");
            println!("skipped: network namespaces need root");
            return;
        }
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).expect("root may");
                test();
            });
            inside.join().expect("no panic");
        });
    }

    #[test]
    fn what_has_changed_is_told_once() {
        in_a_namespace(|| {
            let mut events = Events::open();
            assert_eq!(events.take(), None);
            ip("link set lo up");
            assert_eq!(events.take(), Some(Change::Addresses), "it has brought its addresses");
            assert_eq!(events.take(), None);
            ip("link add one type veth peer name two");
            assert_eq!(events.take(), Some(Change::Interfaces));
            ip("link set one name three");
            assert_eq!(events.take(), Some(Change::Interfaces));
            ip("link delete three");
            ip("link add three type veth peer name two");
            assert_eq!(events.take(), Some(Change::Interfaces), "another of the same name");
            ip("address add 192.0.2.1/32 dev three");
            assert_eq!(events.take(), Some(Change::Addresses));
            ip("address add 192.0.2.2/32 dev three");
            ip("address del 192.0.2.2/32 dev three");
            assert_eq!(events.take(), None, "it is as it was");
            ip("address del 192.0.2.1/32 dev three");
            assert_eq!(events.take(), Some(Change::Addresses));
        });
    }

    #[test]
    fn too_many_at_once_are_a_reason_to_look_again() {
        in_a_namespace(|| {
            let mut events = Events::open();
            let socket = events.socket.as_ref().expect("it is open");
            setsockopt(socket, RcvBuf, &1).expect("the kernel takes its least");
            let (many, fill) = (0..64, |n| ip(&format!("address add 192.0.2.{n}/32 dev lo")));
            many.clone().for_each(fill);
            let told = recv(socket.as_raw_fd(), &mut [0; 64], MsgFlags::MSG_DONTWAIT);
            assert_eq!(told, Err(Errno::ENOBUFS));
            many.for_each(|n| ip(&format!("address del 192.0.2.{n}/32 dev lo")));
            ip("address add 192.0.2.200/32 dev lo");
            assert_eq!(events.take(), Some(Change::Addresses));
        });
    }
}
