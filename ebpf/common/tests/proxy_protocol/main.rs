//! The PROXY automaton against tables, against a naive reader, and cut at every byte.

mod build;
mod properties;
mod reference;
mod v1;
mod v2;

use std::net::SocketAddr;

use ebpf_common::proxy_protocol::{Header, Malformed, Parser, Step};

/// What a header, whole and followed by other bytes, comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The header, and how many bytes it takes.
    Header(Said, usize),
    NotProxy,
    Malformed,
}

/// A [`Header`] in terms of the standard library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Tcp(SocketAddr, SocketAddr),
    Udp(SocketAddr, SocketAddr),
    Unix,
    Unknown,
    Local,
}

impl From<Header> for Said {
    fn from(header: Header) -> Self {
        match header {
            Header::Tcp(ends) => Self::Tcp(ends.source().socket_addr(), ends.destination().socket_addr()),
            Header::Udp(ends) => Self::Udp(ends.source().socket_addr(), ends.destination().socket_addr()),
            Header::Unix => Self::Unix,
            Header::Unknown => Self::Unknown,
            Header::Local => Self::Local,
        }
    }
}

/// What the automaton makes of bytes; `None`: it wants more.
fn automaton(bytes: &[u8]) -> Option<Verdict> {
    let mut parser = Parser::new();
    match parser.feed(bytes) {
        Step::NeedMore => None,
        Step::Done(header) => Some(Verdict::Header(header.into(), parser.consumed())),
        Step::NotProxy => Some(Verdict::NotProxy),
        Step::Malformed(_) => Some(Verdict::Malformed),
    }
}

/// What the automaton says that is wrong with bytes.
fn wrong(bytes: &[u8]) -> Option<Malformed> {
    match Parser::new().feed(bytes) {
        Step::Malformed(reason) => Some(reason),
        _ => None,
    }
}

/// Asserts that bytes are one header, at their last byte and not before it, whatever follows.
fn assert_header(bytes: &[u8], said: Said) {
    let text = bytes.escape_ascii();
    assert_eq!(automaton(bytes), Some(Verdict::Header(said, bytes.len())), "{text}");
    for cut in 0..bytes.len() {
        assert_eq!(automaton(&bytes[..cut]), None, "{text} cut at {cut}");
    }
    let followed = [bytes, b"GET / HTTP/1.1\r\n"].concat();
    assert_eq!(automaton(&followed), Some(Verdict::Header(said, bytes.len())), "{text}");
}
