/// The Internet checksum (RFC 1071) as a running sum of 16-bit words in network order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u32);

impl Sum {
    /// Adds an even number of bytes. At most 60 kB in all, so that no carry is lost.
    #[inline(always)]
    pub(crate) fn add<const N: usize>(self, bytes: &[u8; N]) -> Self {
        const { assert!(N.is_multiple_of(2)) };
        let mut sum = self.0;
        let mut at = 0;
        while at < N {
            sum += u32::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
            at += 2;
        }
        Self(sum)
    }

    /// Adds one 16-bit word.
    #[inline(always)]
    pub(crate) const fn word(self, word: u16) -> Self {
        Self(self.0 + word as u32)
    }

    /// The checksum field, in network order.
    #[inline(always)]
    pub(crate) const fn field(self) -> [u8; 2] {
        let once = (self.0 & 0xffff) + (self.0 >> 16);
        let twice = (once & 0xffff) + (once >> 16);
        (!(twice as u16)).to_be_bytes()
    }
}
