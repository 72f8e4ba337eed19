use super::{decimal::Decimal, endpoint::mapped};

/// An address in text, read byte by byte. Each step gives `None` once no address can come of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum AddressText {
    V4(Quad),
    V6(Groups),
}

/// A dotted quad: four decimal numbers below 256 without leading zeros. Source: RFC 6943 §3.1.1 (the strict form).
#[derive(Clone, Copy, Debug)]
pub(super) struct Quad {
    octets: [u8; 4],
    filled: u8,
    number: Decimal,
}

/// An IPv6 address: groups of one to four hexadecimal digits, one `::` for at least one group of zeros, a dotted
/// quad in place of the last two groups. Source: RFC 4291 §2.2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    bytes: [u8; 16],
    /// How many of `bytes` are known.
    filled: u8,
    /// How many were before `::`.
    gap: Option<u8>,
    /// The group under way, and how many digits it has.
    group: u16,
    digits: u8,
    before: Before,
    quad: Option<Quad>,
}

/// What precedes the group under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A colon in front of everything, of which `::` must come.
    LeadingColon,
    Colon,
    Gap,
}

impl AddressText {
    pub(super) const fn v4() -> Self {
        Self::V4(Quad::new())
    }

    pub(super) const fn v6() -> Self {
        Self::V6(Groups::new())
    }

    /// Empty again, for the next address of the same family.
    pub(super) const fn again(self) -> Self {
        match self {
            Self::V4(_) => Self::v4(),
            Self::V6(_) => Self::v6(),
        }
    }

    pub(super) fn push(&mut self, byte: u8) -> Option<()> {
        match self {
            Self::V4(quad) => quad.push(byte),
            Self::V6(groups) => groups.push(byte),
        }
    }

    /// The address, IPv4 mapped.
    // As for `address` in `v1`.
    #[inline(always)]
    pub(super) fn finish(self) -> Option<[u8; 16]> {
        match self {
            Self::V4(quad) => quad.finish().map(mapped),
            Self::V6(groups) => groups.finish(),
        }
    }
}

impl Quad {
    const fn new() -> Self {
        Self { octets: [0; 4], filled: 0, number: Decimal::new() }
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        if byte != b'.' {
            self.number = self.number.push(byte)?;
            return Some(());
        }
        if self.filled == 3 {
            return None;
        }
        self.end_octet()
    }

    #[inline(always)]
    fn finish(mut self) -> Option<[u8; 4]> {
        self.end_octet()?;
        (self.filled == 4).then_some(self.octets)
    }

    fn end_octet(&mut self) -> Option<()> {
        let octet = u8::try_from(self.number.finish()?).ok()?;
        *self.octets.get_mut(usize::from(self.filled))? = octet;
        self.filled += 1;
        self.number = Decimal::new();
        Some(())
    }
}

impl Groups {
    const fn new() -> Self {
        Self {
            bytes: [0; 16],
            filled: 0,
            gap: None,
            group: 0,
            digits: 0,
            before: Before::Nothing,
            quad: None,
        }
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        match (&mut self.quad, byte) {
            (Some(quad), _) => quad.push(byte),
            (None, b':') => self.colon(),
            (None, b'.') => self.begin_quad(),
            (None, _) => self.digit(byte),
        }
    }

    fn digit(&mut self, byte: u8) -> Option<()> {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return None,
        };
        if self.digits == 4 || self.before == Before::LeadingColon {
            return None;
        }
        self.group = self.group << 4 | u16::from(value);
        self.digits += 1;
        Some(())
    }

    fn colon(&mut self) -> Option<()> {
        if self.digits > 0 {
            self.before = Before::Colon;
            return self.end_group();
        }
        match self.before {
            Before::Nothing => self.before = Before::LeadingColon,
            Before::LeadingColon | Before::Colon if self.gap.is_none() => {
                self.before = Before::Gap;
                self.gap = Some(self.filled);
            }
            Before::LeadingColon | Before::Colon | Before::Gap => return None,
        }
        Some(())
    }

    /// The group under way was the first number of a dotted quad.
    fn begin_quad(&mut self) -> Option<()> {
        let digit = |shift: u16| Some(self.group >> shift & 0xf).filter(|digit| *digit <= 9);
        let (hundreds, tens, ones) = (digit(8)?, digit(4)?, digit(0)?);
        let leading_zero = match self.digits {
            1 => false,
            2 => tens == 0,
            3 => hundreds == 0,
            _ => return None,
        };
        if leading_zero {
            return None;
        }
        let mut quad = Quad::new();
        quad.number = Decimal::of(hundreds * 100 + tens * 10 + ones);
        quad.push(b'.')?;
        self.quad = Some(quad);
        self.digits = 0;
        Some(())
    }

    #[inline(always)]
    fn finish(mut self) -> Option<[u8; 16]> {
        if let Some(quad) = self.quad {
            for octet in quad.finish()? {
                self.put(octet)?;
            }
        } else if self.digits > 0 {
            self.end_group()?;
        } else if self.before != Before::Gap {
            return None;
        }
        match self.gap {
            None => (self.filled == 16).then_some(self.bytes),
            Some(gap) => (self.filled <= 14).then(|| self.spread(gap)),
        }
    }

    /// Moves what follows the gap to the end.
    #[inline(always)]
    fn spread(&self, gap: u8) -> [u8; 16] {
        // Shifts, and no index: what the verifier knows of one is lost where the compiler knows more.
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = self.bytes;
        let bytes =
            [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p])];
        let behind = shifted([u64::MAX; 2], gap);
        let moved = shifted([bytes[0] & behind[0], bytes[1] & behind[1]], 16 - self.filled);
        let [a, b, c, d, e, f, g, h] = (bytes[0] & !behind[0] | moved[0]).to_be_bytes();
        let [i, j, k, l, m, n, o, p] = (bytes[1] & !behind[1] | moved[1]).to_be_bytes();
        [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
    }

    fn end_group(&mut self) -> Option<()> {
        let [high, low] = self.group.to_be_bytes();
        self.put(high)?;
        self.put(low)?;
        self.group = 0;
        self.digits = 0;
        Some(())
    }

    fn put(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(usize::from(self.filled))? = byte;
        self.filled += 1;
        Some(())
    }
}

/// Two words as one number, without its last bytes.
#[inline(always)]
const fn shifted([high, low]: [u64; 2], bytes: u8) -> [u64; 2] {
    let bits = 8 * (bytes as u32);
    match bytes {
        0 => [high, low],
        1..8 => [high >> bits, low >> bits | high << (64 - bits)],
        8..16 => [0, high >> (bits - 64)],
        _ => [0, 0],
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn read(mut text: AddressText, bytes: &str) -> Option<[u8; 16]> {
        bytes.bytes().try_for_each(|byte| text.push(byte))?;
        text.finish()
    }

    #[test]
    fn dotted_quads_have_one_form() {
        for text in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "203.0.113.7", "1.20.100.9"] {
            let expected: Ipv4Addr = text.parse().expect("an address");
            assert_eq!(read(AddressText::v4(), text), Some(mapped(expected.octets())), "{text}");
        }
        for text in [
            "",
            ".",
            "1",
            "1.2.3",
            "1.2.3.",
            ".1.2.3.4",
            "1..2.3",
            "1.2.3.4.",
            "1.2.3.4.5",
            "256.0.0.1",
            "1.2.3.999",
            "01.2.3.4",
            "1.2.3.00",
            "1.2.3.004",
            "0x1.2.3.4",
            "1.2.3.-4",
            "::1",
            "1.2.3.4 ",
            "16909060",
        ] {
            assert_eq!(read(AddressText::v4(), text), None, "{text}");
        }
    }

    #[test]
    fn ipv6_text_is_read_as_the_standard_library_reads_it() {
        for text in [
            "::",
            "::1",
            "1::",
            "2001:db8::1",
            "2001:DB8::a",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1:2:3::5:6:7:8",
            "1::8",
            "::ffff:203.0.113.7",
            "::1.2.3.4",
            "1:2:3:4:5:6:1.2.3.4",
            "1:2:3:4:5::1.2.3.4",
            "64:ff9b::255.255.255.255",
            "0001:0db8::00ff",
            "::0.0.0.0",
            "1::100.10.1.0",
        ] {
            let expected: Ipv6Addr = text.parse().expect("an address");
            assert_eq!(read(AddressText::v6(), text), Some(expected.octets()), "{text}");
        }
        for text in [
            "",
            ":",
            ":::",
            "1",
            "1:",
            ":1",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            "1:2:3:4:5:6:7:8:",
            "1::2::3",
            "1:::2",
            "::1:",
            ":1::",
            "12345::",
            "g::",
            "1:2:3:4:5:6:7::8",
            "1:2:3:4:5:6:7:8::",
            "::1.2.3",
            "::1.2.3.4.5",
            "::1.2.3.4:5",
            "1.2.3.4::",
            "::01.2.3.4",
            "::256.1.1.1",
            "::a.1.1.1",
            "::1111.1.1.1",
            "1:2:3:4:5:6:7:1.2.3.4",
            "1:2:3:4:5:6::1.2.3.4",
            "fe80::1%eth0",
            "[::1]",
            "1.2.3.4",
            "::.1.2.3",
            ":1.2.3.4",
        ] {
            assert!(text.parse::<Ipv6Addr>().is_err(), "{text}");
            assert_eq!(read(AddressText::v6(), text), None, "{text}");
        }
    }
}
