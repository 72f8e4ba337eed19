//! A strict, sans-IO codec of HTTP/1 messages, requests and responses. Source: RFC 9112, with RFC 9110 for fields.
//!
//! Bytes in, heads and bodies out, and back: nothing here reads, writes, waits or knows a clock. What two parsers
//! could read differently is refused at the offending byte, also while the rest of a head is still to come. Heads
//! and bodies share the bytes they were read into; a slow sender costs each byte one look.
//!
//! Where the RFCs leave a choice:
//!
//! - a line ends with CRLF only; a bare CR or LF, NUL, other control characters, folded lines and white space around
//!   a field name are refused (RFC 9112 §2.2, §5);
//! - at most two empty lines may come before a request, none before a response;
//! - every request has exactly one Host, HTTP/1.0 included: HTTP/1.0 with a Host is served, without one refused. A
//!   host is an IP address or a name of `unreserved` and `sub-delims` (no percent-encoding, which two readers compare
//!   differently), a port is 1 to 5 digits;
//! - a target in absolute-form must name the Host's authority, one of CONNECT too; user info is refused;
//! - Content-Length stands once, even with an equal value it is not repeated; Transfer-Encoding is exactly `chunked`,
//!   once, in HTTP/1.1, and never beside Content-Length (RFC 9112 §6.3). CONNECT takes neither;
//! - members of Connection are tokens. `Expect` other than `100-continue` passes on, as it does through Envoy;
//! - a status line may end right after its code, as many servers write it without a reason;
//! - chunk extensions are read over and dropped, 4 KiB of them per body; trailer fields are at most 16 KiB, and those
//!   that frame, route, authenticate or control (RFC 9110 §6.5.1) are dropped, in both directions.

mod body;
mod bytes;
mod chunks;
mod encode;
mod error;
mod facts;
mod framing;
mod host;
mod limits;
mod lines;
mod names;
mod request;
mod response;
mod target;
mod trailers;
mod version;

#[cfg(test)]
mod tests;

pub(crate) use body::{BodyDecoder, Decoded};
pub(crate) use encode::{
    CHUNK_END, Connection, chunk_head, encode_informational, encode_request, encode_response, last_chunk,
};
pub(crate) use error::{BodyError, RequestError, ResponseError};
pub(crate) use framing::Framing;
pub(crate) use host::is_valid as is_host;
pub(crate) use limits::HeadLimits;
pub(crate) use request::{RequestHead, RequestParser};
pub(crate) use response::{ResponseHead, ResponseParser};
pub(crate) use target::is_target;
