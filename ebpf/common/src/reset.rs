use crate::{Opening, checksum::Sum};

/// A TCP reset that answers a SYN, addressed back to its sender: the IP packet, without the Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// IPv4.
    V4([u8; V4]),
    /// IPv6.
    V6([u8; V6]),
}

/// Bytes of an IPv4 reset: two headers without options.
pub const V4: usize = 40;

/// Bytes of an IPv6 reset.
pub const V6: usize = 60;

/// Hops of the answer, the kernel's own default.
const HOPS: u8 = 64;
const TCP: u8 = 6;
const TCP_HEADER: [u8; 2] = [0, 20];
const DO_NOT_FRAGMENT: u8 = 0x40;
/// Header of five words; RST and ACK.
const OFFSET_AND_FLAGS: [u8; 2] = [0x50, 0x14];

impl Reset {
    /// The answer that RFC 9293 §3.10.7.1 gives to a segment without ACK: sequence number 0, everything that the
    /// segment occupies acknowledged.
    #[inline(always)]
    pub fn answering(opening: &Opening) -> Self {
        let acknowledged = opening.sequence.wrapping_add(opening.payload).wrapping_add(1).to_be_bytes();
        if opening.v6 { Self::V6(v6(opening, acknowledged)) } else { Self::V4(v4(opening, acknowledged)) }
    }
}

#[inline(always)]
fn v4(opening: &Opening, acknowledged: [u8; 4]) -> [u8; V4] {
    let [.., s0, s1, s2, s3] = opening.source;
    let [.., d0, d1, d2, d3] = opening.destination;
    let addresses = [d0, d1, d2, d3, s0, s1, s2, s3];
    let [total_high, total_low] = (V4 as u16).to_be_bytes();
    let fixed = [0x45, 0, total_high, total_low, 0, 0, DO_NOT_FRAGMENT, 0, HOPS, TCP];
    let check = Sum::default().add(&fixed).add(&addresses).field();
    let pseudo = Sum::default().add(&addresses);
    let mut packet = [0; V4];
    put(&mut packet, 0, &fixed);
    put(&mut packet, 10, &check);
    put(&mut packet, 12, &addresses);
    put(&mut packet, 20, &tcp(opening, acknowledged, pseudo));
    packet
}

#[inline(always)]
fn v6(opening: &Opening, acknowledged: [u8; 4]) -> [u8; V6] {
    let [length_high, length_low] = TCP_HEADER;
    let fixed = [0x60, 0, 0, 0, length_high, length_low, TCP, HOPS];
    let pseudo = Sum::default().add(&opening.source).add(&opening.destination);
    let mut packet = [0; V6];
    put(&mut packet, 0, &fixed);
    put(&mut packet, 8, &opening.destination);
    put(&mut packet, 24, &opening.source);
    put(&mut packet, 40, &tcp(opening, acknowledged, pseudo));
    packet
}

/// The TCP header; `pseudo` is the sum of both addresses.
#[inline(always)]
fn tcp(opening: &Opening, acknowledged: [u8; 4], pseudo: Sum) -> [u8; 20] {
    let mut header = [0; 20];
    put(&mut header, 0, &opening.destination_port);
    put(&mut header, 2, &opening.source_port);
    put(&mut header, 8, &acknowledged);
    put(&mut header, 12, &OFFSET_AND_FLAGS);
    let sum = pseudo.word(TCP as u16).add(&TCP_HEADER).add(&header);
    put(&mut header, 16, &sum.field());
    header
}

/// Copies without a call that could panic: the verifier would have to follow it.
#[inline(always)]
fn put<const N: usize, const M: usize>(into: &mut [u8; N], at: usize, bytes: &[u8; M]) {
    let mut index = 0;
    while index < M {
        if at + index < N {
            into[at + index] = bytes[index];
        }
        index += 1;
    }
}
