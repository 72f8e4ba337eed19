use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::{
    BodyError, Framing,
    chunks::{ChunkLines, Next},
    trailers::TrailerSection,
};

/// A step of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// Some of its data, never empty.
    Data(Bytes),
    /// Its trailer fields, at least one; the end follows.
    Trailers(HeaderMap),
    /// It is complete.
    End,
    /// The rest has not come yet.
    NeedMore,
}

/// Reads one body.
#[derive(Debug)]
pub(crate) struct BodyDecoder(State);

#[derive(Debug)]
enum State {
    Length(u64),
    Chunks(ChunkLines),
    Trailers(Box<TrailerSection>),
    UntilClose,
    End,
}

impl BodyDecoder {
    /// At the beginning of a body.
    pub(crate) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Empty | Framing::Length(0) => State::End,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunks(ChunkLines::new()),
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// The next step, whose bytes are taken off the buffer. After `NeedMore`, more bytes must come behind those that
    /// were left, or [`BodyDecoder::eof`]. What is left is less than a line of a chunk, or of trailers less than
    /// 16 KiB: a buffer must be able to hold that much.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, BodyError> {
        loop {
            match &mut self.0 {
                State::End => return Ok(Decoded::End),
                State::Length(_) | State::UntilClose if buffer.is_empty() => return Ok(Decoded::NeedMore),
                State::UntilClose => return Ok(Decoded::Data(buffer.split().freeze())),
                State::Length(left) => {
                    let data = take(left, buffer);
                    if *left == 0 {
                        self.0 = State::End;
                    }
                    return Ok(Decoded::Data(data));
                }
                State::Chunks(lines) => {
                    let (next, read) = lines.read(buffer)?;
                    buffer.advance(read);
                    match next {
                        Next::Data if !buffer.is_empty() => {
                            return Ok(Decoded::Data(take(&mut lines.left, buffer)));
                        }
                        Next::Data | Next::NeedMore => return Ok(Decoded::NeedMore),
                        // Nearly always there are none.
                        Next::Trailers if buffer.starts_with(b"\r\n") => {
                            buffer.advance(2);
                            self.0 = State::End;
                        }
                        Next::Trailers => self.0 = State::Trailers(Box::default()),
                    }
                }
                State::Trailers(section) => {
                    let Some(trailers) = section.parse(buffer)? else { return Ok(Decoded::NeedMore) };
                    self.0 = State::End;
                    if !trailers.is_empty() {
                        return Ok(Decoded::Trailers(trailers));
                    }
                }
            }
        }
    }

    /// The body is complete: [`BodyDecoder::decode`] would give [`Decoded::End`] without more bytes.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self.0, State::End)
    }

    /// The transport ended: right after a complete body, or with one that it delimits, which is then complete.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] if more was announced than came.
    pub(crate) fn eof(&mut self) -> Result<(), BodyError> {
        match self.0 {
            State::UntilClose => {
                self.0 = State::End;
                Ok(())
            }
            State::End => Ok(()),
            State::Length(_) | State::Chunks(_) | State::Trailers(_) => Err(BodyError::Truncated),
        }
    }
}

/// Takes what is there of `left` bytes off the buffer.
fn take(left: &mut u64, buffer: &mut BytesMut) -> Bytes {
    let taken = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
    *left -= taken as u64;
    buffer.split_to(taken).freeze()
}
