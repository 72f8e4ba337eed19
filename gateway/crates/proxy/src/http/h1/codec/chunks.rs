use super::{BodyError, bytes::text_length};

/// Bytes of chunk extensions in one body.
const MAX_EXTENSIONS: usize = 4 << 10;

/// Digits of a chunk size: 64 bits.
const MAX_DIGITS: u8 = 16;

/// What stands between the data of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8 },
    Extension,
    SizeLineFeed,
    Data,
    DataLineFeed,
}

/// Reads the lines between the data of chunks (RFC 9112 §7.1).
#[derive(Debug)]
pub(super) struct ChunkLines {
    state: State,
    /// Bytes of data that are still to come of this chunk.
    pub(super) left: u64,
    extensions: usize,
}

/// What comes behind the lines that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Data: [`ChunkLines::left`] bytes, not 0.
    Data,
    /// The trailer section.
    Trailers,
    /// More of the line.
    NeedMore,
}

impl ChunkLines {
    /// Before the first chunk.
    pub(super) fn new() -> Self {
        Self { state: State::Size { digits: 0 }, left: 0, extensions: 0 }
    }

    /// Reads on, up to data or trailers. Gives what comes then, and how many of `bytes` it took.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(Next, usize), BodyError> {
        let mut at = 0;
        loop {
            if self.state == State::Data && self.left > 0 {
                return Ok((Next::Data, at));
            }
            let Some(byte) = bytes.get(at) else { return Ok((Next::NeedMore, at)) };
            at += 1;
            self.state = match (self.state, byte) {
                (State::Size { digits }, byte) => self.read_size(digits, *byte)?,
                (State::Extension, _) => {
                    at -= 1;
                    let length = text_length(&bytes[at..]);
                    self.extensions += length;
                    if self.extensions > MAX_EXTENSIONS {
                        return Err(BodyError::TooLarge);
                    }
                    at += length;
                    match bytes.get(at) {
                        None => return Ok((Next::NeedMore, at)),
                        Some(b'\r') => at += 1,
                        Some(_) => {
                            return Err(BodyError::Malformed("a chunk extension holds a control character"));
                        }
                    }
                    State::SizeLineFeed
                }
                (State::SizeLineFeed, b'\n') if self.left == 0 => return Ok((Next::Trailers, at)),
                (State::SizeLineFeed, b'\n') => State::Data,
                (State::SizeLineFeed, _) => {
                    return Err(BodyError::Malformed("a chunk size does not end with CRLF"));
                }
                (State::Data, b'\r') => State::DataLineFeed,
                (State::DataLineFeed, b'\n') => State::Size { digits: 0 },
                (State::Data | State::DataLineFeed, _) => {
                    return Err(BodyError::Malformed("the data of a chunk does not end with CRLF"));
                }
            };
        }
    }

    fn read_size(&mut self, digits: u8, byte: u8) -> Result<State, BodyError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            b'\r' if digits > 0 => return Ok(State::SizeLineFeed),
            b';' if digits > 0 => return Ok(State::Extension),
            _ => return Err(BodyError::Malformed("a chunk size is not a hexadecimal number")),
        };
        if digits == MAX_DIGITS {
            return Err(BodyError::Malformed("a chunk size has more than 16 digits"));
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size { digits: digits + 1 })
    }
}
