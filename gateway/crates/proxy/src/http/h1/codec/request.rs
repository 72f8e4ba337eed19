use bytes::BytesMut;

use super::{Framing, HeadLimits, RequestError};

/// A request's head, complete and consistent.
#[derive(Debug)]
pub(crate) struct RequestHead {
    /// Method, target and fields as they came, framing and connection fields included. The target is of the form it
    /// came in: an authority is there for CONNECT and in absolute-form only.
    pub(crate) head: http::request::Parts,
    /// Where its body ends. Never [`Framing::UntilClose`].
    pub(crate) body: Framing,
    /// The client will send another request on this connection (RFC 9112 §9.3).
    pub(crate) keep_alive: bool,
    /// The client waits for 100 (Continue) before it sends the body (RFC 9110 §10.1.1).
    pub(crate) expects_continue: bool,
    /// `Connection: upgrade` with an Upgrade field, in HTTP/1.1 (RFC 9110 §7.8).
    pub(crate) upgrade: bool,
}

/// Reads the heads of one connection's requests, one after the other.
#[derive(Debug)]
pub(crate) struct RequestParser {
    limits: HeadLimits,
}

impl RequestParser {
    /// A parser at the beginning of a connection.
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self { limits }
    }

    /// The next head, if `buffer` holds all of it; its bytes are taken off the buffer, with empty lines before it.
    /// `None` asks for more bytes behind those that are there: what was looked at is not looked at again, so nothing
    /// may be taken off the buffer in between.
    pub(crate) fn parse(&mut self, buffer: &mut BytesMut) -> Result<Option<RequestHead>, RequestError> {
        if buffer.len() > self.limits.max_bytes { Err(RequestError::HeadTooLarge) } else { Ok(None) }
    }

    /// A byte of a head has come, and not only stray line ends.
    pub(crate) fn has_begun(&self, buffer: &BytesMut) -> bool {
        buffer.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }
}
