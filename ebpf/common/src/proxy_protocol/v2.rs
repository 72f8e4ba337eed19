use super::{Addresses, Endpoint, Header, Malformed, Step, V2_MAX_LENGTH, V2_SIGNATURE, tlv::Tlvs};

/// Signature, version and command, family and protocol, length.
const FIXED: u16 = 16;

/// A version 2 header after its signature.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binary {
    /// Bytes read, signature included.
    position: u16,
    /// Of the whole header; known from byte 16 on.
    length: u16,
    /// The high byte of the length field, before the low one is read.
    length_high: u8,
    local: bool,
    family: Family,
    source: Endpoint,
    destination: Endpoint,
    tlvs: Tlvs,
}

/// Family and protocol, as far as they differ in what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Unspecified,
    Inet { stream: bool },
    Inet6 { stream: bool },
    Unix,
}

impl Binary {
    pub(super) fn new() -> Self {
        let mut tlvs = Tlvs::new();
        V2_SIGNATURE.into_iter().for_each(|byte| tlvs.precede(byte));
        Self {
            position: V2_SIGNATURE.len() as u16,
            length: 0,
            length_high: 0,
            local: false,
            family: Family::Unspecified,
            source: Endpoint::UNSPECIFIED_V4,
            destination: Endpoint::UNSPECIFIED_V4,
            tlvs,
        }
    }

    pub(super) fn step(&mut self, byte: u8) -> Step {
        match self.next(byte) {
            Err(reason) => Step::Malformed(reason),
            Ok(()) if self.position >= FIXED && self.position == self.length => self.finish(),
            Ok(()) => Step::NeedMore,
        }
    }

    fn next(&mut self, byte: u8) -> Result<(), Malformed> {
        let at = self.position;
        self.position += 1;
        if at >= FIXED + self.family.addresses() && !self.local {
            return self.tlvs.step(byte, self.length.saturating_sub(self.position));
        }
        self.tlvs.precede(byte);
        match at {
            12 => self.command(byte),
            13 => self.family(byte),
            14 => {
                self.length_high = byte;
                Ok(())
            }
            15 => self.length(byte),
            _ => {
                self.address(at - FIXED, byte);
                Ok(())
            }
        }
    }

    fn command(&mut self, byte: u8) -> Result<(), Malformed> {
        if byte >> 4 != 2 {
            return Err(Malformed::Version);
        }
        match byte & 0xf {
            0 => self.local = true,
            1 => self.local = false,
            _ => return Err(Malformed::Command),
        }
        Ok(())
    }

    fn family(&mut self, byte: u8) -> Result<(), Malformed> {
        self.family = match byte {
            // Whatever the family of a LOCAL header is, the whole block after it is to be discarded (§2.2).
            _ if self.local => Family::Unspecified,
            0x00 => Family::Unspecified,
            0x11 => Family::Inet { stream: true },
            0x12 => Family::Inet { stream: false },
            0x21 => Family::Inet6 { stream: true },
            0x22 => Family::Inet6 { stream: false },
            0x31 | 0x32 => Family::Unix,
            _ => return Err(Malformed::Family),
        };
        if matches!(self.family, Family::Inet6 { .. }) {
            self.source = Endpoint::UNSPECIFIED_V6;
            self.destination = Endpoint::UNSPECIFIED_V6;
        }
        Ok(())
    }

    fn length(&mut self, low: u8) -> Result<(), Malformed> {
        let rest = u16::from_be_bytes([self.length_high, low]);
        if rest < self.family.addresses() {
            return Err(Malformed::TooShort);
        }
        self.length = rest.saturating_add(FIXED);
        if usize::from(self.length) > V2_MAX_LENGTH { Err(Malformed::TooLong) } else { Ok(()) }
    }

    /// Reads a byte of the address block: source, destination, source port, destination port.
    fn address(&mut self, at: u16, byte: u8) {
        // IPv4 addresses are the last four bytes of mapped ones.
        let (width, offset) = match self.family {
            Family::Inet { .. } => (4, 12),
            Family::Inet6 { .. } => (16, 0),
            Family::Unix | Family::Unspecified => return,
        };
        if at < width {
            self.source.set_address(offset + at, byte);
        } else if at < 2 * width {
            self.destination.set_address(offset + at - width, byte);
        } else if at < 2 * width + 2 {
            self.source.set_port(at - 2 * width, byte);
        } else {
            self.destination.set_port(at - 2 * width - 2, byte);
        }
    }

    fn finish(&self) -> Step {
        if self.local {
            return Step::Done(Header::Local);
        }
        if let Err(reason) = self.tlvs.finish() {
            return Step::Malformed(reason);
        }
        let addresses = Addresses::new(self.source, self.destination);
        Step::Done(match self.family {
            Family::Unspecified => Header::Unknown,
            Family::Inet { stream: true } | Family::Inet6 { stream: true } => Header::Tcp(addresses),
            Family::Inet { stream: false } | Family::Inet6 { stream: false } => Header::Udp(addresses),
            Family::Unix => Header::Unix,
        })
    }
}

impl Family {
    /// Length of the address block. Unspecified has none: what follows is TLVs.
    const fn addresses(self) -> u16 {
        match self {
            Self::Unspecified => 0,
            Self::Inet { .. } => 12,
            Self::Inet6 { .. } => 36,
            Self::Unix => 216,
        }
    }
}
