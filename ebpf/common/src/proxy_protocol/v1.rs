use super::{
    Addresses, Endpoint, Header, Malformed, Step, V1_MAX_LENGTH, V1_SIGNATURE, address::AddressText,
    decimal::Decimal,
};

/// A version 1 header after its signature: `TCP4 source destination port port CR LF`, exactly one space each.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Bytes read, signature included.
    length: u8,
    field: Field,
    source: [u8; 16],
    destination: [u8; 16],
    source_port: u16,
    /// What ends the line once its last field is known.
    header: Header,
}

#[derive(Clone, Copy, Debug)]
enum Field {
    /// The bytes so far, the newest lowest, below a marker bit that counts them.
    Protocol(u64),
    Source(AddressText),
    Destination(AddressText),
    SourcePort(Decimal),
    DestinationPort(Decimal),
    /// What follows `UNKNOWN` is skipped up to the line's end (§2.1).
    Skipped,
    LineFeed,
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

/// A word as [`Field::Protocol`] collects it.
const fn word(text: &[u8]) -> u64 {
    let mut word = 1;
    let mut at = 0;
    while at < text.len() {
        word = word << 8 | text[at] as u64;
        at += 1;
    }
    word
}

const TCP4: u64 = word(b"TCP4");
const TCP6: u64 = word(b"TCP6");
const UNKNOWN: u64 = word(b"UNKNOWN");

impl Line {
    /// Behind the signature.
    pub const fn new() -> Self {
        Self {
            length: V1_SIGNATURE.len() as u8,
            field: Field::Protocol(word(b"")),
            source: [0; 16],
            destination: [0; 16],
            source_port: 0,
            header: Header::Unknown,
        }
    }

    /// Reads one byte, as [`Parser::step`](super::Parser::step) does; not to be asked again once it has ended.
    pub fn step(&mut self, byte: u8) -> Step {
        self.length += 1;
        if byte == b'\n' && matches!(self.field, Field::LineFeed) {
            return Step::Done(self.header);
        }
        // With this one it is as long as it may be, and not at its end.
        if usize::from(self.length) >= V1_MAX_LENGTH {
            return Step::Malformed(Malformed::LineTooLong);
        }
        match self.next(byte) {
            Ok(()) => Step::NeedMore,
            Err(reason) => Step::Malformed(reason),
        }
    }

    /// Each field is read in its place: to move one out and back for every byte would cost several times as much.
    fn next(&mut self, byte: u8) -> Result<(), Malformed> {
        match &mut self.field {
            Field::Protocol(read) => self.field = protocol(*read, byte)?,
            Field::Source(text) if byte == b' ' => {
                self.source = text.finish().ok_or(Malformed::Address)?;
                self.field = Field::Destination(text.again());
            }
            Field::Destination(text) if byte == b' ' => {
                self.destination = text.finish().ok_or(Malformed::Address)?;
                self.field = Field::SourcePort(Decimal::new());
            }
            Field::Source(text) | Field::Destination(text) => address(text, byte)?,
            Field::SourcePort(port) if byte == b' ' => {
                self.source_port = port.finish().ok_or(Malformed::Port)?;
                self.field = Field::DestinationPort(Decimal::new());
            }
            Field::DestinationPort(port) if byte == b'\r' => {
                let source = Endpoint::new(self.source, self.source_port);
                let destination = Endpoint::new(self.destination, port.finish().ok_or(Malformed::Port)?);
                self.header = Header::Tcp(Addresses::new(source, destination));
                self.field = Field::LineFeed;
            }
            Field::SourcePort(port) | Field::DestinationPort(port) => *port = digit(*port, byte)?,
            Field::Skipped => match byte {
                b'\r' => self.field = Field::LineFeed,
                b'\n' => return Err(Malformed::LineEnd),
                _ => {}
            },
            Field::LineFeed => return Err(Malformed::LineEnd),
        }
        Ok(())
    }
}

#[inline(always)]
fn protocol(read: u64, byte: u8) -> Result<Field, Malformed> {
    match (read, byte) {
        (TCP4, b' ') => Ok(Field::Source(AddressText::v4())),
        (TCP6, b' ') => Ok(Field::Source(AddressText::v6())),
        (UNKNOWN, b' ') => Ok(Field::Skipped),
        (UNKNOWN, b'\r') => Ok(Field::LineFeed),
        (_, b' ') => Err(Malformed::Protocol),
        (_, b'\r' | b'\n') => Err(Malformed::LineEnd),
        // `UNKNOWN`, the longest, fills seven bytes below the marker.
        _ if read >> 56 != 0 => Err(Malformed::Protocol),
        _ => Ok(Field::Protocol(read << 8 | u64::from(byte))),
    }
}

// A function of its own would leave a pointer to its caller's stack behind, which the verifier refuses (kernel 6.18).
#[inline(always)]
fn address(text: &mut AddressText, byte: u8) -> Result<(), Malformed> {
    match byte {
        b'\r' | b'\n' => Err(Malformed::LineEnd),
        _ => text.push(byte).ok_or(Malformed::Address),
    }
}

#[inline(always)]
fn digit(port: Decimal, byte: u8) -> Result<Decimal, Malformed> {
    match byte {
        b'\r' | b'\n' => Err(Malformed::LineEnd),
        _ => port.push(byte).ok_or(Malformed::Port),
    }
}
