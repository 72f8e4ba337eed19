use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, StatusCode, Version, request, response};

use super::Framing;

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
/// (RFC 9110 §8.6). [`Framing::UntilClose`] does not exist for requests, and is written as chunked.
pub(crate) fn encode_request(
    head: &request::Parts,
    body: Framing,
    upgrade: Option<&HeaderValue>,
    out: &mut BytesMut,
) {
    let _ = (head, body, upgrade, out);
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
    let _ = (head, body, connection, version_of_request, out);
}

/// Writes an interim response: 100, 102 or 103. Clients of HTTP/1.0 must not be sent any (RFC 9110 §15.2).
pub(crate) fn encode_informational(status: StatusCode, headers: &HeaderMap, out: &mut BytesMut) {
    let _ = (status, headers, out);
}

/// Writes what precedes `len` bytes of data, more than 0, in a chunk; [`CHUNK_END`] follows them.
pub(crate) fn chunk_head(len: usize, out: &mut BytesMut) {
    let _ = (len, out);
}

/// Writes the end of a chunked body, with the trailer fields that may be sent as such.
pub(crate) fn last_chunk(trailers: Option<&HeaderMap>, out: &mut BytesMut) {
    let _ = (trailers, out);
}
