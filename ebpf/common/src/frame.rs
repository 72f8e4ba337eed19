use crate::{Bytes, Packet, Unread};

/// What an Ethernet frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Bytes of the Ethernet header.
pub(crate) const ETHERNET: usize = 14;

/// Most VLAN tags that are skipped: one of a customer inside one of a provider (IEEE 802.1ad).
const TAGS: usize = 2;

const IPV4: u16 = 0x0800_u16.to_be();
const IPV6: u16 = 0x86dd_u16.to_be();
const CUSTOMER_TAG: u16 = 0x8100_u16.to_be();
const PROVIDER_TAG: u16 = 0x88a8_u16.to_be();

/// What follows the Ethernet header of a frame without tags, [`ETHERNET`] bytes from its start; `None`: one with tags, or no
/// IP.
#[inline(always)]
pub(crate) fn untagged<P: Packet>(packet: &P) -> Option<Network> {
    match packet.part(0, ETHERNET)?.half(12) {
        IPV4 => Some(Network::V4),
        IPV6 => Some(Network::V6),
        _ => None,
    }
}

/// Skips the Ethernet header and VLAN tags: what follows, and where. `Err(None)`: no IP.
#[inline(always)]
pub(crate) fn network<P: Packet>(packet: &P) -> Result<(Network, usize), Option<Unread>> {
    let mut at = ETHERNET;
    let mut kind = packet.part(0, ETHERNET).ok_or(Unread::Malformed)?.half(12);
    let mut tags = 0;
    while kind == CUSTOMER_TAG || kind == PROVIDER_TAG {
        if tags == TAGS {
            return Err(Some(Unread::TooDeep));
        }
        kind = packet.part(at, 4).ok_or(Unread::Malformed)?.half(2);
        tags += 1;
        at += 4;
    }
    match kind {
        IPV4 => Ok((Network::V4, at)),
        IPV6 => Ok((Network::V6, at)),
        _ => Err(None),
    }
}
