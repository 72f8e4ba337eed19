use crate::{Bytes, Packet, Unread, frame::ETHERNET};

/// A TCP segment's place in an IP packet. Offsets are from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Where the TCP header begins.
    pub(crate) at: usize,
    /// Bytes of header and payload, as the IP header says.
    pub(crate) length: usize,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Of version 6.
const ICMP: u8 = 58;

/// Bytes of a TCP header without options, and where its flags are.
pub(crate) const TCP_HEADER: usize = 20;
pub(crate) const FLAGS: usize = 13;

/// Bytes of an IPv4 header without options.
pub(crate) const V4_HEADER: usize = 20;

/// Bytes of the fixed IPv6 header.
pub(crate) const V6_HEADER: usize = 40;

/// More fragments follow, or this is not the first.
const FRAGMENTED: u16 = 0x3fff_u16.to_be();

/// Finds TCP behind an IPv4 header (RFC 791 §3.1). `Err(None)`: another protocol.
#[inline(always)]
pub(crate) fn tcp_in_v4<P: Packet>(packet: &P, at: usize) -> Result<Carried, Option<Unread>> {
    let fixed = packet.part(at, V4_HEADER).ok_or(Unread::Malformed)?;
    let first = fixed.byte(0);
    let header = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || header < V4_HEADER {
        return Err(Some(Unread::Malformed));
    }
    if fixed.byte(9) != TCP {
        return Err(None);
    }
    if fixed.half(6) & FRAGMENTED != 0 {
        return Err(Some(Unread::Fragment));
    }
    let total = usize::from(u16::from_be(fixed.half(2)));
    if total < header {
        return Err(Some(Unread::Malformed));
    }
    Ok(Carried { at: at + header, length: total - header })
}

/// The flags of TCP in an IPv4 packet without options, right behind an Ethernet header; 0: another protocol. `None`: it is
/// another packet, which [`tcp_in_v4`] looks into.
#[inline(always)]
pub(crate) fn plain_flags_in_v4<P: Packet>(packet: &P) -> Option<u8> {
    let headers = packet.part(ETHERNET, V4_HEADER + TCP_HEADER)?;
    if headers.byte(0) != 0x45 {
        return None;
    }
    if headers.byte(9) != TCP {
        return Some(0);
    }
    let is_whole =
        headers.half(6) & FRAGMENTED == 0 && usize::from(u16::from_be(headers.half(2))) >= V4_HEADER;
    if is_whole { Some(headers.byte(V4_HEADER + FLAGS)) } else { None }
}

/// Likewise, behind an IPv6 header without extension headers; [`tcp_in_v6`] looks into others.
#[inline(always)]
pub(crate) fn plain_flags_in_v6<P: Packet>(packet: &P) -> Option<u8> {
    let headers = packet.part(ETHERNET, V6_HEADER + TCP_HEADER)?;
    match headers.byte(6) {
        _ if headers.byte(0) >> 4 != 6 => None,
        TCP => Some(headers.byte(V6_HEADER + FLAGS)),
        UDP | ICMP => Some(0),
        _ => None,
    }
}

/// Most extension headers that are skipped. RFC 8200 §4.1 names seven, two of them twice; real segments have
/// none or one.
const EXTENSIONS: usize = 6;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Finds TCP behind an IPv6 header and its extension headers (RFC 8200 §3 and §4). `Err(None)`: another
/// protocol, or one that cannot be looked into.
#[inline(always)]
pub(crate) fn tcp_in_v6<P: Packet>(packet: &P, at: usize) -> Result<Carried, Option<Unread>> {
    let fixed = packet.part(at, V6_HEADER).ok_or(Unread::Malformed)?;
    if fixed.byte(0) >> 4 != 6 {
        return Err(Some(Unread::Malformed));
    }
    let payload = usize::from(u16::from_be(fixed.half(4)));
    let mut next = fixed.byte(6);
    let mut skipped = 0;
    let mut extensions = 0;
    while next != TCP {
        match next {
            HOP_BY_HOP | ROUTING | AUTHENTICATION | DESTINATION | MOBILITY | HOST_IDENTITY | SHIM6 => {}
            FRAGMENT => return Err(Some(Unread::Fragment)),
            _ => return Err(None),
        }
        if extensions == EXTENSIONS {
            return Err(Some(Unread::TooDeep));
        }
        extensions += 1;
        let extension = packet.part(at + V6_HEADER + skipped, 2).ok_or(Unread::Malformed)?;
        // In 8 bytes without the first 8; RFC 4302 §2.2 counts 4 bytes without the first 8.
        let length = usize::from(extension.byte(1));
        skipped += if next == AUTHENTICATION { (length + 2) * 4 } else { (length + 1) * 8 };
        next = extension.byte(0);
    }
    if payload < skipped {
        return Err(Some(Unread::Malformed));
    }
    Ok(Carried { at: at + V6_HEADER + skipped, length: payload - skipped })
}
