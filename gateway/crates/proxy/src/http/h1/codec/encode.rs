use bytes::{BufMut, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{CONTENT_LENGTH, COOKIE, HOST, UPGRADE},
    request, response,
};

use super::{Framing, trailers::may_trail};

/// What a response says about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// Another request may follow.
    KeepAlive,
    /// This response is the last.
    Close,
    /// `connection: upgrade`, and the head's Upgrade field is sent: 101 and 426.
    Upgrade,
}

/// What follows the data of a chunk.
pub(crate) const CHUNK_END: &[u8] = b"\r\n";

/// Writes a request's head in HTTP/1.1: in origin-form, `*` as it is, authority-form for CONNECT. Host comes first,
/// from the Host field or else the target's authority. Framing and connection fields are written from `body` and
/// `upgrade`; any in `head` are left out. A POST, PUT or PATCH without a body says `content-length: 0`
/// (RFC 9110 §8.6). Several Cookie fields, as HTTP/2 sends them, become one (RFC 9113 §8.2.3).
/// [`Framing::UntilClose`] does not exist for requests, and is written as chunked.
pub(crate) fn encode_request(
    head: &request::Parts,
    body: Framing,
    upgrade: Option<&HeaderValue>,
    out: &mut BytesMut,
) {
    out.reserve(256 + head.uri.path().len() + estimate(&head.headers));
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.put_u8(b' ');
    put_target(head, out);
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    match (head.headers.get(HOST), head.uri.authority()) {
        (Some(host), _) => out.extend_from_slice(host.as_bytes()),
        (None, Some(authority)) => out.extend_from_slice(authority.as_str().as_bytes()),
        // RFC 9112 §3.2.
        (None, None) => {}
    }
    out.extend_from_slice(b"\r\n");
    put_request_fields(&head.headers, out);
    match body {
        Framing::Empty if [Method::POST, Method::PUT, Method::PATCH].contains(&head.method) => {
            put_length(0, out)
        }
        Framing::Empty => {}
        Framing::Length(length) => put_length(length, out),
        Framing::Chunked | Framing::UntilClose => put_chunked(out),
    }
    if let Some(protocol) = upgrade {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: ");
        out.extend_from_slice(protocol.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn put_target(head: &request::Parts, out: &mut BytesMut) {
    if head.method == Method::CONNECT
        && let Some(authority) = head.uri.authority()
    {
        return out.extend_from_slice(authority.as_str().as_bytes());
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    // Of `http://host?query` the path is empty.
    if !target.starts_with(['/', '*']) {
        out.put_u8(b'/');
    }
    out.extend_from_slice(target.as_bytes());
}

/// Writes a response's head in HTTP/1.1, to a client that asked in `version_of_request`. Framing and connection
/// fields are written from `body` and `connection`; any in `head` are left out, with two exceptions:
///
/// - with [`Framing::Empty`], meant for answers to HEAD and for 1xx, 204 and 304, a `content-length` of `head` passes
///   through unless the status is 1xx or 204, which must not have one (RFC 9110 §8.6). An answer that could have
///   a body and has none is `Length(0)`;
/// - with [`Connection::Upgrade`], the `upgrade` field passes through.
///
/// [`Framing::UntilClose`] says `connection: close` unless it is an upgrade. A client of HTTP/1.0 reads no chunks:
/// the caller chooses `UntilClose` for it.
pub(crate) fn encode_response(
    head: &response::Parts,
    body: Framing,
    connection: Connection,
    version_of_request: Version,
    out: &mut BytesMut,
) {
    out.reserve(128 + estimate(&head.headers));
    put_status(head.status, out);
    put_fields(&head.headers, out);
    match body {
        Framing::Empty => put_unsent_length(head, out),
        Framing::Length(length) => put_length(length, out),
        Framing::Chunked => put_chunked(out),
        Framing::UntilClose => {}
    }
    match connection {
        Connection::Upgrade => {
            out.extend_from_slice(b"connection: upgrade\r\n");
            for protocol in head.headers.get_all(UPGRADE) {
                put_field("upgrade", protocol, out);
            }
        }
        Connection::KeepAlive if body != Framing::UntilClose => {
            if version_of_request == Version::HTTP_10 {
                out.extend_from_slice(b"connection: keep-alive\r\n");
            }
        }
        Connection::KeepAlive | Connection::Close => out.extend_from_slice(b"connection: close\r\n"),
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim response: 100, 102 or 103. Clients of HTTP/1.0 must not be sent any (RFC 9110 §15.2).
pub(crate) fn encode_informational(status: StatusCode, headers: &HeaderMap, out: &mut BytesMut) {
    out.reserve(64 + estimate(headers));
    put_status(status, out);
    put_fields(headers, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes what precedes `len` bytes of data, more than 0, in a chunk; [`CHUNK_END`] follows them.
pub(crate) fn chunk_head(len: usize, out: &mut BytesMut) {
    debug_assert!(len > 0, "a chunk of 0 bytes ends the body");
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut line = [0; 18];
    let mut begin = 16;
    let mut rest = len;
    while rest > 0 {
        begin -= 1;
        line[begin] = DIGITS[rest & 15];
        rest >>= 4;
    }
    line[16..].copy_from_slice(b"\r\n");
    out.extend_from_slice(&line[begin..]);
}

/// Writes the end of a chunked body, with the trailer fields that may be sent as such.
pub(crate) fn last_chunk(trailers: Option<&HeaderMap>, out: &mut BytesMut) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        if may_trail(name) {
            put_field(name.as_str(), value, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Bytes that the fields take, so that the buffer grows once.
fn estimate(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

fn put_status(status: StatusCode, out: &mut BytesMut) {
    if status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.put_u8(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// All fields but those that the codec writes itself.
fn put_fields(headers: &HeaderMap, out: &mut BytesMut) {
    for (name, value) in headers {
        if !is_ours(name) {
            put_field(name.as_str(), value, out);
        }
    }
}

fn put_request_fields(headers: &HeaderMap, out: &mut BytesMut) {
    let mut cookies = false;
    for (name, value) in headers {
        if name.as_str() == "cookie" {
            if !cookies {
                put_cookies(headers, out);
            }
            cookies = true;
        } else if !is_ours(name) {
            put_field(name.as_str(), value, out);
        }
    }
}

fn put_cookies(headers: &HeaderMap, out: &mut BytesMut) {
    let mut before: &[u8] = b"cookie: ";
    for value in headers.get_all(COOKIE) {
        out.extend_from_slice(before);
        out.extend_from_slice(value.as_bytes());
        before = b"; ";
    }
    out.extend_from_slice(b"\r\n");
}

/// Host, framing, and what is about one connection (RFC 9110 §7.6.1).
fn is_ours(name: &HeaderName) -> bool {
    let name = name.as_str();
    match name.len() {
        4 => name == "host",
        7 => name == "upgrade",
        10 => name == "connection" || name == "keep-alive",
        14 => name == "content-length",
        16 => name == "proxy-connection",
        17 => name == "transfer-encoding",
        _ => false,
    }
}

fn put_field(name: &str, value: &HeaderValue, out: &mut BytesMut) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn put_chunked(out: &mut BytesMut) {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
}

fn put_length(mut length: u64, out: &mut BytesMut) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (length % 10) as u8;
        length /= 10;
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(&digits[begin..]);
    out.extend_from_slice(b"\r\n");
}

/// The length that a body would have had, if it is one.
fn put_unsent_length(head: &response::Parts, out: &mut BytesMut) {
    if head.status.is_informational() || head.status == StatusCode::NO_CONTENT {
        return;
    }
    let value = head.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if let Some(length) = value.and_then(|value| value.parse().ok()) {
        put_length(length, out);
    }
}
