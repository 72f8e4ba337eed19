use super::{Malformed, block::CRC32C, crc32c::Crc32c};

/// Walks type-length-values and keeps the checksum of the header. Every type but the checksum is skipped: what
/// they say is read from the whole header, by [`TlvReader`](super::block::TlvReader), and only where it is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tlvs {
    state: State,
    crc: Crc32c,
    /// What the sender says that the checksum is.
    expected: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between two.
    Type,
    LengthHigh {
        kind: u8,
    },
    LengthLow {
        kind: u8,
        high: u8,
    },
    /// So many bytes of the value are to come.
    Value {
        left: u16,
    },
    Checksum {
        left: u8,
        read: u32,
    },
}

impl Tlvs {
    pub(super) const fn new() -> Self {
        Self { state: State::Type, crc: Crc32c::new(), expected: None }
    }

    /// Takes a byte before the first of them into the checksum.
    pub(super) fn precede(&mut self, byte: u8) {
        self.crc.push(byte);
    }

    /// Reads a byte of them, of which `left` follow in the header.
    pub(super) fn step(&mut self, byte: u8, left: u16) -> Result<(), Malformed> {
        let summed = if matches!(self.state, State::Checksum { .. }) { 0 } else { byte };
        self.crc.push(summed);
        self.state = match self.state {
            State::Type => State::LengthHigh { kind: byte },
            State::LengthHigh { kind } => State::LengthLow { kind, high: byte },
            State::LengthLow { kind, high } => self.value(kind, u16::from_be_bytes([high, byte]), left)?,
            State::Value { left: 1 } => State::Type,
            State::Value { left } => State::Value { left: left.wrapping_sub(1) },
            State::Checksum { left, read } => {
                let read = read << 8 | u32::from(byte);
                if left == 1 {
                    self.expected = Some(read);
                    State::Type
                } else {
                    State::Checksum { left: left.wrapping_sub(1), read }
                }
            }
        };
        Ok(())
    }

    /// The header ends here.
    pub(super) fn finish(&self) -> Result<(), Malformed> {
        if self.state != State::Type {
            return Err(Malformed::Tlv);
        }
        match self.expected {
            Some(expected) if expected != self.crc.value() => Err(Malformed::Checksum),
            _ => Ok(()),
        }
    }

    fn value(&self, kind: u8, length: u16, left: u16) -> Result<State, Malformed> {
        match (kind, length) {
            _ if length > left => Err(Malformed::Tlv),
            (CRC32C, 4) if self.expected.is_none() => Ok(State::Checksum { left: 4, read: 0 }),
            (CRC32C, _) => Err(Malformed::ChecksumForm),
            (_, 0) => Ok(State::Type),
            (_, length) => Ok(State::Value { left: length }),
        }
    }
}
