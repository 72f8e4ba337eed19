/// The Internet checksum (RFC 1071) as a running sum. Words are added as they lie in a packet: the sum's bytes
/// are in the order of the words' (§2 (B)).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds four bytes. Fewer than 2^31 of them, so that no carry is lost.
    #[inline(always)]
    pub(crate) const fn word(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds the four words of an address.
    #[inline(always)]
    pub(crate) const fn words(self, [a, b, c, d]: [u32; 4]) -> Self {
        self.word(a).word(b).word(c).word(d)
    }

    /// The checksum field, as it lies in a packet.
    #[inline(always)]
    pub(crate) const fn field(self) -> u16 {
        let mut sum = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        !(sum as u16)
    }
}
