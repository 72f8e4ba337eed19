use bytes::{Buf, BytesMut};
use http::{Method, Request, Version};

use super::{
    Framing, HeadLimits, RequestError,
    bytes::{path_length, query_length, token_length, visible_length},
    facts::{Facts, Fault},
    host,
    lines::{Fields, Line, Lines, Step},
    target::Form,
    version::{self, VERSION_LENGTH, VersionFault},
};

/// Empty lines that may come before a request (RFC 9112 §2.2).
const MAX_EMPTY_LINES: u8 = 2;

/// What `http::Uri` holds.
const MAX_TARGET: usize = u16::MAX as usize - 1;

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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    EmptyLines,
    Method,
    Target,
    Path,
    Query,
    OtherTarget,
    Version,
    Fields,
}

/// Reads the heads of one connection's requests, one after the other.
#[derive(Debug)]
pub(crate) struct RequestParser {
    limits: HeadLimits,
    fields: Fields,
    state: State,
}

/// How far the head at the beginning of the buffer is read.
#[derive(Debug)]
struct State {
    phase: Phase,
    empty_lines: u8,
    /// Bytes that were looked at.
    at: usize,
    method: Method,
    target: (usize, usize),
    form: Form,
    version: Version,
    lines: Lines,
    facts: Facts,
    host: Option<(usize, usize)>,
    expects_continue: bool,
}

impl RequestParser {
    /// A parser at the beginning of a connection.
    pub(crate) fn new(limits: HeadLimits) -> Self {
        Self { limits, fields: Fields::default(), state: State::new() }
    }

    /// The next head, if `buffer` holds all of it; its bytes are taken off the buffer, with empty lines before it.
    /// `None` asks for more bytes behind those that are there: what was looked at is not looked at again, so nothing
    /// may be taken off the buffer in between.
    pub(crate) fn parse(&mut self, buffer: &mut BytesMut) -> Result<Option<RequestHead>, RequestError> {
        if self.state.phase == Phase::EmptyLines && !self.skip_empty_lines(buffer)? {
            return Ok(None);
        }
        let window = &buffer[..buffer.len().min(self.limits.max_bytes)];
        if self.read(window)? {
            return self.finish(buffer).map(Some);
        }
        if buffer.len() < self.limits.max_bytes {
            return Ok(None);
        }
        match self.state.phase {
            Phase::Target | Phase::Path | Phase::Query | Phase::OtherTarget => {
                Err(RequestError::TargetTooLong)
            }
            _ => Err(RequestError::HeadTooLarge),
        }
    }

    /// A byte of a head has come, and not only stray line ends.
    pub(crate) fn has_begun(&self, buffer: &BytesMut) -> bool {
        self.state.phase != Phase::EmptyLines || buffer.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
    }

    /// `true` once a byte of the head itself is there.
    fn skip_empty_lines(&mut self, buffer: &mut BytesMut) -> Result<bool, RequestError> {
        loop {
            match buffer[..] {
                [] | [b'\r'] => return Ok(false),
                [b'\r', b'\n', ..] if self.state.empty_lines == MAX_EMPTY_LINES => {
                    return Err(RequestError::Malformed("empty lines come instead of a request"));
                }
                [b'\r', b'\n', ..] => {
                    self.state.empty_lines += 1;
                    buffer.advance(2);
                }
                [b'\r' | b'\n', ..] => return Err(RequestError::Malformed("a line ends without CRLF")),
                _ => {
                    self.state.phase = Phase::Method;
                    return Ok(true);
                }
            }
        }
    }

    /// `true` once the head is complete.
    fn read(&mut self, bytes: &[u8]) -> Result<bool, RequestError> {
        while self.state.phase != Phase::Fields {
            if !self.state.read_request_line(bytes)? {
                return Ok(false);
            }
        }
        loop {
            match self.state.lines.step(bytes, &mut self.state.at).map_err(RequestError::Malformed)? {
                Step::NeedMore => return Ok(false),
                Step::End => return Ok(true),
                Step::Line(line) => {
                    if self.fields.len() >= self.limits.max_fields {
                        return Err(RequestError::HeadTooLarge);
                    }
                    self.state.observe(bytes, &line)?;
                    if !self.fields.push(bytes, line) {
                        return Err(RequestError::HeadTooLarge);
                    }
                }
            }
        }
    }

    fn finish(&mut self, buffer: &mut BytesMut) -> Result<RequestHead, RequestError> {
        let state = std::mem::replace(&mut self.state, State::new());
        let body = state.judge(buffer)?;
        let section = buffer.split_to(state.at).freeze();
        let mut head = Request::new(()).into_parts().0;
        head.headers = self.fields.drain_into_map(&section).ok_or(RequestError::HeadTooLarge)?;
        let target = section.slice(state.target.0..state.target.1);
        head.uri = state
            .form
            .uri(target, &state.method)
            .ok_or(RequestError::Malformed("the target is not a URI"))?;
        head.method = state.method;
        head.version = state.version;
        let current = state.version == Version::HTTP_11;
        Ok(RequestHead {
            head,
            body,
            keep_alive: state.facts.persists(state.version),
            expects_continue: state.expects_continue
                && current
                && !matches!(body, Framing::Empty | Framing::Length(0)),
            upgrade: state.facts.upgrade_option && state.facts.upgrade_field && current,
        })
    }
}

impl State {
    fn new() -> Self {
        Self {
            phase: Phase::EmptyLines,
            empty_lines: 0,
            at: 0,
            method: Method::GET,
            target: (0, 0),
            form: Form::Origin,
            version: Version::HTTP_11,
            lines: Lines::default(),
            facts: Facts::default(),
            host: None,
            expects_continue: false,
        }
    }

    /// One phase further; `false` if the bytes end within it.
    fn read_request_line(&mut self, bytes: &[u8]) -> Result<bool, RequestError> {
        match self.phase {
            Phase::EmptyLines | Phase::Fields => {}
            Phase::Method => {
                self.at += token_length(&bytes[self.at..]);
                match bytes.get(self.at) {
                    None => return Ok(false),
                    Some(b' ') if self.at > 0 => {
                        self.method = Method::from_bytes(&bytes[..self.at])
                            .map_err(|_| RequestError::Malformed("the method is not a token"))?;
                        self.at += 1;
                        self.target.0 = self.at;
                        self.phase = Phase::Target;
                    }
                    Some(_) => return Err(RequestError::Malformed("the method is not a token")),
                }
            }
            Phase::Target => match bytes.get(self.at) {
                None => return Ok(false),
                Some(b'/') if self.method != Method::CONNECT => self.phase = Phase::Path,
                Some(_) => self.phase = Phase::OtherTarget,
            },
            Phase::Path => {
                self.at += path_length(&bytes[self.at..]);
                if bytes.get(self.at) == Some(&b'?') {
                    self.at += 1;
                    self.phase = Phase::Query;
                } else {
                    return self.end_target(bytes);
                }
            }
            Phase::Query => {
                self.at += query_length(&bytes[self.at..]);
                return self.end_target(bytes);
            }
            Phase::OtherTarget => {
                self.at += visible_length(&bytes[self.at..]);
                if bytes.get(self.at) == Some(&b' ') {
                    let target = &bytes[self.target.0..self.at];
                    self.form = Form::of(target, &self.method).map_err(RequestError::Malformed)?;
                }
                return self.end_target(bytes);
            }
            Phase::Version => return self.read_version(bytes),
        }
        Ok(true)
    }

    fn end_target(&mut self, bytes: &[u8]) -> Result<bool, RequestError> {
        match bytes.get(self.at) {
            None => Ok(false),
            Some(b' ') if self.at - self.target.0 > MAX_TARGET => Err(RequestError::TargetTooLong),
            Some(b' ') => {
                self.target.1 = self.at;
                self.at += 1;
                self.phase = Phase::Version;
                Ok(true)
            }
            Some(_) => Err(RequestError::Malformed("the target holds a byte that no URI has")),
        }
    }

    fn read_version(&mut self, bytes: &[u8]) -> Result<bool, RequestError> {
        let rest = &bytes[self.at..];
        self.version = match version::parse(rest) {
            Ok(Some(version)) => version,
            Ok(None) => return Ok(false),
            Err(VersionFault::Unsupported) => return Err(RequestError::UnsupportedVersion),
            Err(VersionFault::Malformed) => {
                return Err(RequestError::Malformed("the version is not HTTP/1.1"));
            }
        };
        match rest[VERSION_LENGTH..] {
            [] | [b'\r'] => Ok(false),
            [b'\r', b'\n', ..] => {
                self.at += VERSION_LENGTH + 2;
                self.phase = Phase::Fields;
                Ok(true)
            }
            _ => Err(RequestError::Malformed("the request line does not end with CRLF")),
        }
    }

    fn observe(&mut self, bytes: &[u8], line: &Line) -> Result<(), RequestError> {
        let (name, value) = (&bytes[line.name.clone()], &bytes[line.value.clone()]);
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                if self.host.is_some() {
                    return Err(RequestError::Malformed("host is repeated"));
                }
                if !host::is_valid(value) {
                    return Err(RequestError::Malformed("host is not a host"));
                }
                self.host = Some((line.value.start, line.value.end));
            }
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
            _ => self.facts.observe(name, value, self.version)?,
        }
        Ok(())
    }

    /// What only the whole head shows.
    fn judge(&self, bytes: &[u8]) -> Result<Framing, RequestError> {
        let Some((begin, end)) = self.host else {
            return Err(RequestError::Malformed("there is no host"));
        };
        if let Some(authority) = self.form.authority(&bytes[self.target.0..self.target.1])
            && !authority.eq_ignore_ascii_case(&bytes[begin..end])
        {
            return Err(RequestError::Malformed("target and host name different authorities"));
        }
        let body = match (self.facts.chunked, self.facts.content_length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Empty,
        };
        if self.method == Method::CONNECT && body != Framing::Empty {
            return Err(RequestError::Malformed("CONNECT announces a body"));
        }
        Ok(body)
    }
}

impl From<Fault> for RequestError {
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

    /// A client that sends byte by byte must not cost the square of its head.
    #[test]
    fn what_was_looked_at_is_not_looked_at_again() {
        let bytes =
            format!("POST http://x/{0}?{0} HTTP/1.1\r\n{0}: {0}\r\nhost: x\r\n{0}:\t{0}", "a".repeat(100));
        let mut parser = RequestParser::new(HeadLimits::default());
        let mut buffer = BytesMut::new();
        for byte in bytes.as_bytes() {
            buffer.extend_from_slice(&[*byte]);
            assert!(parser.parse(&mut buffer).unwrap().is_none());
            // A version is the one thing that is taken whole.
            let again = buffer.len() - parser.state.at;
            assert!(again < "HTTP/1.1\r\n".len(), "{again} bytes of {}", buffer.len());
        }
        assert_eq!(parser.state.at, buffer.len());
    }
}
