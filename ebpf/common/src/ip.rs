use crate::{Packet, Unread};

/// A TCP segment's place in an IP packet. Offsets are from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Where the TCP header begins.
    pub(crate) at: usize,
    /// Bytes of header and payload, as the IP header says.
    pub(crate) length: usize,
}

const TCP: u8 = 6;

/// Finds TCP behind an IPv4 header (RFC 791 §3.1). `Err(None)`: another protocol.
#[inline(always)]
pub(crate) fn tcp_in_v4<P: Packet + ?Sized>(packet: &P, at: usize) -> Result<Carried, Option<Unread>> {
    let [first, _, length_high, length_low, _, _, fragment_high, fragment_low, _, protocol] =
        packet.read::<10>(at).ok_or(Unread::Malformed)?;
    let header = usize::from(first & 0xf) * 4;
    if first >> 4 != 4 || header < 20 {
        return Err(Some(Unread::Malformed));
    }
    if protocol != TCP {
        return Err(None);
    }
    // More fragments, or not the first one.
    if fragment_high & 0x3f != 0 || fragment_low != 0 {
        return Err(Some(Unread::Fragment));
    }
    let total = usize::from(u16::from_be_bytes([length_high, length_low]));
    if total < header {
        return Err(Some(Unread::Malformed));
    }
    Ok(Carried { at: at + header, length: total - header })
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

/// Length of the fixed IPv6 header.
const V6_HEADER: usize = 40;

/// Finds TCP behind an IPv6 header and its extension headers (RFC 8200 §3 and §4). `Err(None)`: another
/// protocol, or one that cannot be looked into.
#[inline(always)]
pub(crate) fn tcp_in_v6<P: Packet + ?Sized>(packet: &P, at: usize) -> Result<Carried, Option<Unread>> {
    let [first, _, _, _, length_high, length_low, next] = packet.read::<7>(at).ok_or(Unread::Malformed)?;
    if first >> 4 != 6 {
        return Err(Some(Unread::Malformed));
    }
    let payload = usize::from(u16::from_be_bytes([length_high, length_low]));
    let mut next = next;
    let mut skipped = 0;
    let mut extensions = 0;
    while next != TCP {
        let authentication = next == AUTHENTICATION;
        match next {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HOST_IDENTITY | SHIM6 | AUTHENTICATION => {}
            FRAGMENT => return Err(Some(Unread::Fragment)),
            _ => return Err(None),
        }
        if extensions == EXTENSIONS {
            return Err(Some(Unread::TooDeep));
        }
        extensions += 1;
        let [following, length] = packet.read::<2>(at + V6_HEADER + skipped).ok_or(Unread::Malformed)?;
        // In 8 bytes without the first 8; RFC 4302 §2.2 counts 4 bytes without the first 8.
        skipped += if authentication { (usize::from(length) + 2) * 4 } else { (usize::from(length) + 1) * 8 };
        next = following;
    }
    if payload < skipped {
        return Err(Some(Unread::Malformed));
    }
    Ok(Carried { at: at + V6_HEADER + skipped, length: payload - skipped })
}
