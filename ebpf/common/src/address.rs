/// An IP address in words as they lie in a packet, IPv4 in IPv6's form (RFC 4291 §2.5.5.2).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address([u32; 4]);

const MAPPED: u32 = 0x0000_ffff_u32.to_be();

impl Address {
    /// All zeros.
    pub(crate) const NONE: Self = Self([0; 4]);

    /// From four words in network order.
    #[inline(always)]
    pub(crate) const fn v6(words: [u32; 4]) -> Self {
        Self(words)
    }

    /// From one word in network order.
    #[inline(always)]
    pub(crate) const fn v4(word: u32) -> Self {
        Self([0, 0, MAPPED, word])
    }

    /// From its bytes.
    #[inline(always)]
    pub(crate) const fn new(bytes: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
        let words = [[a, b, c, d], [e, f, g, h], [i, j, k, l], [m, n, o, p]];
        Self([
            u32::from_ne_bytes(words[0]),
            u32::from_ne_bytes(words[1]),
            u32::from_ne_bytes(words[2]),
            u32::from_ne_bytes(words[3]),
        ])
    }

    /// Its bytes.
    pub(crate) const fn bytes(self) -> [u8; 16] {
        let Self([first, second, third, fourth]) = self;
        let ([a, b, c, d], [e, f, g, h]) = (first.to_ne_bytes(), second.to_ne_bytes());
        let ([i, j, k, l], [m, n, o, p]) = (third.to_ne_bytes(), fourth.to_ne_bytes());
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    /// Its words in network order.
    #[inline(always)]
    pub(crate) const fn words(self) -> [u32; 4] {
        self.0
    }

    /// The address that stands for every one of its family.
    #[inline(always)]
    pub(crate) const fn wildcard(self) -> Self {
        if self.is_mapped() { Self::v4(0) } else { Self::v6([0; 4]) }
    }

    /// False for groups, broadcast, and what is no sender: IPv4's "this network", IPv6's unspecified address.
    #[inline(always)]
    pub(crate) const fn is_unicast(self) -> bool {
        let Self([a, b, c, d]) = self;
        if self.is_mapped() {
            let first = u32::from_be(d) >> 24;
            first != 0 && first < 224
        } else {
            u32::from_be(a) >> 24 != 0xff && a | b | c | d != 0
        }
    }

    /// Its first bits, and zeros.
    #[inline(always)]
    pub(crate) const fn truncated(self, bits: u8) -> Self {
        let Self([a, b, c, d]) = self;
        let bits = bits as u32;
        // A network of IPv4, as most are: one word to compute.
        if bits >= 96 {
            return Self([a, b, c, d & mask(bits, 96)]);
        }
        Self([a & mask(bits, 0), b & mask(bits, 32), c & mask(bits, 64), d & mask(bits, 96)])
    }

    /// True: an IPv4 address.
    #[inline(always)]
    pub(crate) const fn is_mapped(self) -> bool {
        let Self([a, b, c, _]) = self;
        a | b == 0 && c == MAPPED
    }
}

/// Of a word that begins at some bit: those of its bits, in network order, that are among the first `bits`.
#[inline(always)]
const fn mask(bits: u32, from: u32) -> u32 {
    if bits <= from {
        0
    } else if bits - from >= 32 {
        u32::MAX
    } else {
        (u32::MAX << (32 - (bits - from))).to_be()
    }
}
