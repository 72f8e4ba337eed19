use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::{BodyError, Framing};

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
pub(crate) struct BodyDecoder {
    framing: Framing,
}

impl BodyDecoder {
    /// At the beginning of a body.
    pub(crate) fn new(framing: Framing) -> Self {
        Self { framing }
    }

    /// The next step, whose bytes are taken off the buffer. After `NeedMore`, more bytes must come behind those that
    /// were left, or [`BodyDecoder::eof`].
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, BodyError> {
        match &mut self.framing {
            Framing::Empty | Framing::Length(0) => Ok(Decoded::End),
            _ if buffer.is_empty() => Ok(Decoded::NeedMore),
            Framing::UntilClose => Ok(Decoded::Data(buffer.split().freeze())),
            Framing::Length(left) => {
                let taken = usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
                *left -= taken as u64;
                Ok(Decoded::Data(buffer.split_to(taken).freeze()))
            }
            Framing::Chunked => Err(BodyError::Malformed("chunks")),
        }
    }

    /// The body is complete: [`BodyDecoder::decode`] has given or would give [`Decoded::End`] without more bytes.
    pub(crate) fn is_end(&self) -> bool {
        matches!(self.framing, Framing::Empty | Framing::Length(0))
    }

    /// The transport ended: right after a complete body, and of one that it delimits.
    ///
    /// # Errors
    /// [`BodyError::Truncated`] if more was announced than came.
    pub(crate) fn eof(&mut self) -> Result<(), BodyError> {
        if self.framing == Framing::UntilClose {
            self.framing = Framing::Empty;
        }
        if self.is_end() { Ok(()) } else { Err(BodyError::Truncated) }
    }
}
