//! SYNs of nobody: from addresses that do not exist, so that no handshake ends.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV6},
    os::fd::{AsRawFd, OwnedFd},
};

use e2e::{
    frame::{Addresses, Frame},
    netns::{GATEWAY, GATEWAY6},
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto, socket,
};

/// Bytes of a frame before its packet.
const LINK: usize = 14;

/// Hosts that nobody is, on the client's side.
const NOBODY: [u8; 4] = [198, 51, 100, 200];
const NOBODY6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x200);

/// Sends so many to a port of the gateway, half of them over IPv6, from a thread in the client's namespace.
///
/// # Panics
///
/// Without the right to raw sockets.
pub fn flood(port: u16, count: u16) {
    let (v4, v6) = (raw(AddressFamily::Inet), raw(AddressFamily::Inet6));
    let to4: Ipv4Addr = GATEWAY.parse().expect("an address");
    let to6: Ipv6Addr = GATEWAY6.parse().expect("an address");
    for n in 0..count {
        let v6_turn = !n.is_multiple_of(2);
        let addresses = match v6_turn {
            false => Addresses::V4(NOBODY, to4.octets()),
            true => Addresses::V6(NOBODY6.octets(), to6.octets()),
        };
        let frame = Frame { addresses, ports: (1024 + n, port), sequence: n.into(), ..Frame::v4() };
        let packet = &frame.bytes()[LINK..];
        // A full queue of the interface drops what it likes.
        let _ = if v6_turn {
            let to = SockaddrIn6::from(SocketAddrV6::new(to6, 0, 0, 0));
            sendto(v6.as_raw_fd(), packet, &to, MsgFlags::empty())
        } else {
            let [a, b, c, d] = to4.octets();
            sendto(v4.as_raw_fd(), packet, &SockaddrIn::new(a, b, c, d, 0), MsgFlags::empty())
        };
    }
}

/// What sends packets as they are, header included (raw(7), IPPROTO_RAW).
fn raw(family: AddressFamily) -> OwnedFd {
    socket(family, SockType::Raw, SockFlag::empty(), SockProtocol::Raw).expect("as root")
}
