use crate::{Opening, checksum::Sum};

/// A TCP reset that answers a segment, addressed back to its sender: the IP packet without the Ethernet header, in
/// words as they lie there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// IPv4.
    V4([u32; RESET_V4]),
    /// IPv6.
    V6([u32; RESET_V6]),
}

/// Words of an IPv4 reset: two headers without options.
pub const RESET_V4: usize = 10;

/// Words of an IPv6 reset.
pub const RESET_V6: usize = 15;

/// Hops of the answer, the kernel's own default.
const HOPS: u8 = 64;
const TCP: u8 = 6;
/// Bytes of the TCP header.
const LENGTH: u8 = 20;
/// Header of five words; RST and ACK; no window.
const RESET_AND_ACK: u32 = u32::from_ne_bytes([0x50, 0x14, 0, 0]);
/// Likewise, without ACK.
const RESET_ALONE: u32 = u32::from_ne_bytes([0x50, 0x04, 0, 0]);
/// What the pseudo header has beside the addresses.
const PSEUDO: u32 = u32::from_ne_bytes([0, TCP, 0, LENGTH]);

impl Reset {
    /// The answer that RFC 9293 §3.10.7.1 gives to a segment. Without ACK: sequence number 0, everything that the
    /// segment occupies acknowledged. With ACK: the sequence number that it acknowledges.
    #[inline(always)]
    pub fn answering(opening: &Opening) -> Self {
        if opening.v6 { Self::V6(v6(opening)) } else { Self::V4(v4(opening)) }
    }

    /// What stands in the TCP checksum's place where the rest of the sum is left to a device (the kernel's
    /// CHECKSUM_PARTIAL): the sum of the pseudo header, as it lies in a packet.
    #[inline(always)]
    pub fn unfinished_checksum(opening: &Opening) -> u16 {
        let (to, from) = (opening.source.words(), opening.destination.words());
        let ([.., last_to], [.., last_from]) = (to, from);
        let sum = if opening.v6 {
            Sum::default().words(from).words(to)
        } else {
            Sum::default().word(last_from).word(last_to)
        };
        !sum.word(PSEUDO).field()
    }
}

#[inline(always)]
fn v4(opening: &Opening) -> [u32; RESET_V4] {
    let ([.., to], [.., from]) = (opening.source.words(), opening.destination.words());
    let first = u32::from_ne_bytes([0x45, 0, 0, 20 + LENGTH]);
    // No identification, since it is not to be fragmented.
    let second = u32::from_ne_bytes([0, 0, 0x40, 0]);
    let third = [HOPS, TCP, 0, 0];
    let sum = Sum::default().word(first).word(second).word(u32::from_ne_bytes(third)).word(from).word(to);
    let [high, low] = sum.field().to_ne_bytes();
    let third = u32::from_ne_bytes([HOPS, TCP, high, low]);
    let [a, b, c, d, e] = tcp(opening, Sum::default().word(from).word(to));
    [first, second, third, from, to, a, b, c, d, e]
}

#[inline(always)]
fn v6(opening: &Opening) -> [u32; RESET_V6] {
    let (to, from) = (opening.source.words(), opening.destination.words());
    let first = u32::from_ne_bytes([0x60, 0, 0, 0]);
    let second = u32::from_ne_bytes([0, LENGTH, TCP, HOPS]);
    let [a, b, c, d, e] = tcp(opening, Sum::default().words(from).words(to));
    let ([f, g, h, i], [j, k, l, m]) = (from, to);
    [first, second, f, g, h, i, j, k, l, m, a, b, c, d, e]
}

/// The TCP header; `addresses` is the sum of both.
#[inline(always)]
fn tcp(opening: &Opening, addresses: Sum) -> [u32; 5] {
    let ([a, b], [c, d]) = (opening.ports.1.to_ne_bytes(), opening.ports.0.to_ne_bytes());
    let ports = u32::from_ne_bytes([a, b, c, d]);
    let (sequence, acknowledged, flags) = match opening.acknowledged {
        None => (0, opening.sequence.wrapping_add(opening.payload).wrapping_add(1).to_be(), RESET_AND_ACK),
        Some(sequence) => (sequence.to_be(), 0, RESET_ALONE),
    };
    let sum = addresses.word(PSEUDO).word(ports).word(sequence).word(acknowledged).word(flags);
    let [high, low] = sum.field().to_ne_bytes();
    [ports, sequence, acknowledged, flags, u32::from_ne_bytes([high, low, 0, 0])]
}
