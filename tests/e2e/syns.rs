//! SYNs of nobody: from addresses that do not exist, so that no handshake ends.

use std::net::{Ipv4Addr, Ipv6Addr};

use e2e::netns::{GATEWAY, GATEWAY6};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6, sendto, socket,
};

/// The ones' complement sum that IP and TCP check with (RFC 1071).
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let bytes = parts.concat();
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    (!(sum as u16)).to_be_bytes()
}

/// A SYN from a port, with this pseudo-header.
fn syn(from: u16, to: u16, pseudo: &[u8]) -> Vec<u8> {
    let mut segment =
        [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0, 0, from as u8, 1, 0, 0, 0, 0]].concat();
    segment.extend([0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    let sum = checksum(&[pseudo, &segment]);
    segment[16..18].copy_from_slice(&sum);
    segment
}

/// Sends so many to a port of the gateway, half of them over IPv6, from a thread in the client's namespace.
///
/// # Panics
///
/// Without the right to raw sockets.
pub fn flood(port: u16, count: u16) {
    let raw = |family| socket(family, SockType::Raw, SockFlag::empty(), SockProtocol::Raw).expect("as root");
    let (v4, v6) = (raw(AddressFamily::Inet), raw(AddressFamily::Inet6));
    let (to4, to6): (Ipv4Addr, Ipv6Addr) =
        (GATEWAY.parse().expect("an address"), GATEWAY6.parse().expect("an address"));
    for n in 0..count {
        use std::os::fd::AsRawFd;
        let from = 1024 + n;
        let sent = if n.is_multiple_of(2) {
            let source = Ipv4Addr::new(198, 51, 100, 200);
            let ends = [source.octets(), to4.octets()].concat();
            let segment = syn(from, port, &[&ends[..], &[0, 6, 0, 20]].concat());
            let mut header = [&[0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0][..], &ends].concat();
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum);
            let [a, b, c, d] = to4.octets();
            let to = SockaddrIn::new(a, b, c, d, 0);
            sendto(v4.as_raw_fd(), &[header, segment].concat(), &to, MsgFlags::empty())
        } else {
            let source = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x200);
            let ends = [source.octets(), to6.octets()].concat();
            let segment = syn(from, port, &[&ends[..], &[0, 0, 0, 20, 0, 0, 0, 6]].concat());
            let header = [&[0x60, 0, 0, 0, 0, 20, 6, 64][..], &ends].concat();
            let to = SockaddrIn6::from(std::net::SocketAddrV6::new(to6, 0, 0, 0));
            sendto(v6.as_raw_fd(), &[header, segment].concat(), &to, MsgFlags::empty())
        };
        // A full queue of the interface drops what it likes.
        let _ = sent;
    }
}
