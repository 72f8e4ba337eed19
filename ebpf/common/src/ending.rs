use crate::checksum::Sum;

/// A segment turned into a reset for its receiver, which keeps its sequence number: two words of its TCP header, as they
/// lie in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Header length, flags and window, from byte 12 on.
    pub flags: u32,
    /// Checksum and urgent pointer, from byte 16 on.
    pub sum: u32,
    /// Header length and flags, before and after: what the checksum has to follow.
    pub halves: [u16; 2],
}

impl Ending {
    /// Of the same words as they are.
    #[inline(always)]
    pub fn of(flags: u32, sum: u32) -> Self {
        const RST: u8 = 0x04;
        let ([length, was, c, d], [e, f, g, h]) = (flags.to_ne_bytes(), sum.to_ne_bytes());
        let halves = [u16::from_ne_bytes([length, was]), u16::from_ne_bytes([length & 0xf0, RST])];
        // RFC 1624 §3: ~(~sum + ~before + after).
        let changed = Sum::default()
            .word(!u16::from_ne_bytes([e, f]) as u32)
            .word(!halves[0] as u32)
            .word(halves[1] as u32)
            .field();
        let ([e, f], [length, flags]) = (changed.to_ne_bytes(), halves[1].to_ne_bytes());
        Self {
            flags: u32::from_ne_bytes([length, flags, c, d]),
            sum: u32::from_ne_bytes([e, f, g, h]),
            halves,
        }
    }
}
