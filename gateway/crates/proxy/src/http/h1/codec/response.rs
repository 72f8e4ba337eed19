use bytes::BytesMut;
use http::{Method, Response, StatusCode, Version};

use super::{
    Framing, HeadLimits, ResponseError,
    bytes::text_length,
    facts::{Facts, Fault},
    lines::{Fields, Lines, Step},
    version::{self, VERSION_LENGTH, VersionFault},
};

/// Length of `HTTP/1.1 200`.
const STATUS_END: usize = VERSION_LENGTH + 4;

/// A response's head, complete and consistent; of an interim response (1xx) too.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    /// Status and fields as they came, framing and connection fields included. The reason is dropped.
    pub(crate) head: http::response::Parts,
    /// Where its body ends. [`Framing::UntilClose`] of a 101: what follows is the other protocol. A 2xx that answers
    /// CONNECT is [`Framing::Empty`], and a tunnel follows.
    pub(crate) body: Framing,
    /// The backend will answer another request on this connection, if the body is read to its end.
    pub(crate) keep_alive: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Status,
    Reason,
    LineFeed,
    Fields,
}

/// Reads the heads of one connection's responses, one after the other.
#[derive(Debug)]
pub(crate) struct ResponseParser {
    limits: HeadLimits,
    fields: Fields,
    state: State,
}

/// How far the head at the beginning of the buffer is read.
#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// Bytes that were looked at.
    at: usize,
    version: Version,
    status: StatusCode,
    lines: Lines,
    facts: Facts,
}

impl ResponseParser {
    /// A parser at the beginning of a connection.
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self { limits, fields: Fields::default(), state: State::default() }
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
        let window = &buffer[..buffer.len().min(self.limits.max_bytes)];
        if self.read(window)? {
            return self.finish(buffer, request_method).map(Some);
        }
        if buffer.len() < self.limits.max_bytes { Ok(None) } else { Err(ResponseError::HeadTooLarge) }
    }

    /// `true` once the head is complete.
    fn read(&mut self, bytes: &[u8]) -> Result<bool, ResponseError> {
        while self.state.phase != Phase::Fields {
            if !self.state.read_status_line(bytes)? {
                return Ok(false);
            }
        }
        loop {
            match self.state.lines.step(bytes, &mut self.state.at).map_err(ResponseError::Malformed)? {
                Step::NeedMore => return Ok(false),
                Step::End => return Ok(true),
                Step::Line(line) => {
                    if self.fields.len() >= self.limits.max_fields {
                        return Err(ResponseError::HeadTooLarge);
                    }
                    let (name, value) = (&bytes[line.name.clone()], &bytes[line.value.clone()]);
                    self.state.facts.observe(name, value, self.state.version)?;
                    if !self.fields.push(bytes, line) {
                        return Err(ResponseError::HeadTooLarge);
                    }
                }
            }
        }
    }

    fn finish(&mut self, buffer: &mut BytesMut, method: &Method) -> Result<ResponseHead, ResponseError> {
        let state = std::mem::take(&mut self.state);
        let section = buffer.split_to(state.at).freeze();
        let mut head = Response::new(()).into_parts().0;
        head.headers = self.fields.drain_into_map(&section).ok_or(ResponseError::HeadTooLarge)?;
        head.status = state.status;
        head.version = state.version;
        let body = state.body(method);
        Ok(ResponseHead { head, body, keep_alive: state.persists(body) })
    }
}

impl State {
    /// One phase further; `false` if the bytes end within it.
    fn read_status_line(&mut self, bytes: &[u8]) -> Result<bool, ResponseError> {
        match self.phase {
            Phase::Fields => {}
            Phase::Status => return self.read_status(bytes),
            Phase::Reason => {
                self.at += text_length(&bytes[self.at..]);
                match bytes.get(self.at) {
                    None => return Ok(false),
                    Some(b'\r') => {
                        self.at += 1;
                        self.phase = Phase::LineFeed;
                    }
                    Some(_) => return Err(ResponseError::Malformed("the reason holds a control character")),
                }
            }
            Phase::LineFeed => match bytes.get(self.at) {
                None => return Ok(false),
                Some(b'\n') => {
                    self.at += 1;
                    self.phase = Phase::Fields;
                }
                Some(_) => return Err(ResponseError::Malformed("the status line does not end with CRLF")),
            },
        }
        Ok(true)
    }

    /// Version and code, few bytes that are looked at again until they are complete.
    fn read_status(&mut self, bytes: &[u8]) -> Result<bool, ResponseError> {
        self.version = match version::parse(bytes) {
            Ok(Some(version)) => version,
            Ok(None) => return Ok(false),
            Err(VersionFault::Unsupported) => return Err(ResponseError::UnsupportedVersion),
            Err(VersionFault::Malformed) => {
                return Err(ResponseError::Malformed("the version is not HTTP/1.1"));
            }
        };
        for (place, byte) in bytes[VERSION_LENGTH..].iter().take(4).enumerate() {
            let fits = match place {
                0 => *byte == b' ',
                1 => matches!(byte, b'1'..=b'5'),
                _ => byte.is_ascii_digit(),
            };
            if !fits {
                return Err(ResponseError::Malformed("the status is not of 100 to 599"));
            }
        }
        self.at = match bytes.get(STATUS_END) {
            None => return Ok(false),
            Some(b' ') => STATUS_END + 1,
            // No reason, and no space before it: `Reason` goes on from here.
            Some(b'\r') => STATUS_END,
            Some(_) => return Err(ResponseError::Malformed("the status is not three digits")),
        };
        self.status = StatusCode::from_bytes(&bytes[STATUS_END - 3..STATUS_END])
            .map_err(|_| ResponseError::Malformed("the status is not of 100 to 599"))?;
        self.phase = Phase::Reason;
        Ok(true)
    }

    /// RFC 9112 §6.3.
    fn body(&self, method: &Method) -> Framing {
        if self.status == StatusCode::SWITCHING_PROTOCOLS {
            return Framing::UntilClose;
        }
        let tunnel = *method == Method::CONNECT && self.status.is_success();
        if *method == Method::HEAD || tunnel || self.is_bodiless() || self.status == StatusCode::NOT_MODIFIED
        {
            return Framing::Empty;
        }
        match (self.facts.chunked, self.facts.content_length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        }
    }

    /// Of statuses that never have a body and must not announce one.
    fn is_bodiless(&self) -> bool {
        self.status.is_informational() || self.status == StatusCode::NO_CONTENT
    }

    /// A backend that announces a body where none can be may send it all the same, and nobody could tell it from the
    /// next response.
    fn persists(&self, body: Framing) -> bool {
        let announced = self.facts.chunked || self.facts.content_length.is_some_and(|length| length > 0);
        body != Framing::UntilClose && !(self.is_bodiless() && announced) && self.facts.persists(self.version)
    }
}

impl From<Fault> for ResponseError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed(reason) => Self::Malformed(reason),
            Fault::UnknownTransferCoding => Self::UnknownTransferCoding,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backend that sends byte by byte must not cost the square of its head.
    #[test]
    fn what_was_looked_at_is_not_looked_at_again() {
        let bytes = format!("HTTP/1.1 200 {0}\r\n{0}: {0}\r\n{0}:\t{0}", "a".repeat(100));
        let mut parser = ResponseParser::new(HeadLimits::default());
        let mut buffer = BytesMut::new();
        for byte in bytes.as_bytes() {
            buffer.extend_from_slice(&[*byte]);
            assert!(parser.parse(&mut buffer, &Method::GET).unwrap().is_none());
            // Version and code are taken whole.
            let again = buffer.len() - parser.state.at;
            assert!(again <= STATUS_END, "{again} bytes of {}", buffer.len());
        }
        assert_eq!(parser.state.at, buffer.len());
    }
}
