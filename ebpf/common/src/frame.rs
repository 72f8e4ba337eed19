use crate::{Packet, Unread};

/// What an Ethernet frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Most VLAN tags that are skipped: one of a customer inside one of a provider (IEEE 802.1ad).
const TAGS: usize = 2;

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const CUSTOMER_TAG: [u8; 2] = [0x81, 0x00];
const PROVIDER_TAG: [u8; 2] = [0x88, 0xa8];

/// Skips the Ethernet header and VLAN tags: what follows, and where. `Err(None)`: no IP.
#[inline(always)]
pub(crate) fn network<P: Packet + ?Sized>(packet: &P) -> Result<(Network, usize), Option<Unread>> {
    let mut at = 12;
    let mut kind: [u8; 2] = packet.read(at).ok_or(Unread::Malformed)?;
    let mut tags = 0;
    while kind == CUSTOMER_TAG || kind == PROVIDER_TAG {
        if tags == TAGS {
            return Err(Some(Unread::TooDeep));
        }
        tags += 1;
        at += 4;
        kind = packet.read(at).ok_or(Unread::Malformed)?;
    }
    match kind {
        IPV4 => Ok((Network::V4, at + 2)),
        IPV6 => Ok((Network::V6, at + 2)),
        _ => Err(None),
    }
}
