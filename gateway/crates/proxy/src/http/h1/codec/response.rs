use bytes::BytesMut;
use http::Method;

use super::{Framing, HeadLimits, ResponseError};

/// A response's head, complete and consistent; of an interim response (1xx) too.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    /// Status and fields as they came, framing and connection fields included.
    pub(crate) head: http::response::Parts,
    /// Where its body ends. [`Framing::UntilClose`] of a 101: what follows is the other protocol.
    pub(crate) body: Framing,
    /// The backend will answer another request on this connection, if the body is read to its end.
    pub(crate) keep_alive: bool,
}

/// Reads the heads of one connection's responses, one after the other.
#[derive(Debug)]
pub(crate) struct ResponseParser {
    limits: HeadLimits,
}

impl ResponseParser {
    /// A parser at the beginning of a connection.
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self { limits }
    }

    /// The next head, if `buffer` holds all of it; its bytes are taken off the buffer. `request_method` is that of
    /// the request it answers, on which its framing depends. An interim response (1xx) is a head of its own: the
    /// caller asks again. `None` asks for more bytes behind those that are there, and nothing may be taken off the
    /// buffer in between.
    pub(crate) fn parse(
        &mut self,
        buffer: &mut BytesMut,
        request_method: &Method,
    ) -> Result<Option<ResponseHead>, ResponseError> {
        let _ = request_method;
        if buffer.len() > self.limits.max_bytes { Err(ResponseError::HeadTooLarge) } else { Ok(None) }
    }
}
