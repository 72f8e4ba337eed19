use ebpf_common::proxy_protocol::{Header, Parser, Step};

use super::Proxied;
use crate::refusal::Refusal;

/// Decides on a connection's first bytes where a PROXY header may or must come first.
pub(super) struct HeaderReader {
    parser: Parser,
    trusted: bool,
    optional: bool,
}

/// What the bytes so far come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Cannot be told yet.
    NeedMore,
    /// A header of so many bytes, and the addresses in it, if it names a TCP connection's.
    Header { length: usize, proxied: Option<Proxied> },
    /// No header, and none is needed: every byte belongs to the protocol that follows.
    Absent,
    /// The connection is to be closed.
    Refused(Refusal),
}

impl HeaderReader {
    /// `trusted`: the peer may send headers. `optional`: it may as well send none.
    pub(super) fn new(trusted: bool, optional: bool) -> Self {
        Self { parser: Parser::new(), trusted, optional }
    }

    /// Reads on in all bytes that the connection has sent so far.
    pub(super) fn read(&mut self, sent: &[u8]) -> Verdict {
        let unread = sent.get(self.parser.consumed()..).unwrap_or_default();
        let step = self.parser.feed(unread);
        if self.parser.is_recognised() && !self.trusted {
            // Whatever it says, and before all of it is there.
            return Verdict::Refused(Refusal::ProxyUntrusted);
        }
        match step {
            Step::NeedMore => Verdict::NeedMore,
            Step::Done(header) => {
                Verdict::Header { length: self.parser.consumed(), proxied: Proxied::from_header(header) }
            }
            Step::NotProxy if self.optional => Verdict::Absent,
            Step::NotProxy => Verdict::Refused(Refusal::ProxyMissing),
            Step::Malformed(reason) => Verdict::Refused(super::malformed(reason)),
        }
    }

    /// The client has closed, and more was needed.
    pub(super) fn end(&self) -> Verdict {
        if self.parser.consumed() == 0 {
            // Nothing was sent and nothing can follow: what comes next finds the same end, and knows whether a
            // client may close before its first byte.
            Verdict::Absent
        } else if self.optional && !self.parser.is_recognised() {
            Verdict::Absent
        } else {
            Verdict::Refused(Refusal::Aborted)
        }
    }
}

impl Proxied {
    /// The addresses of the TCP connection that the sender serves. `None`: the sender speaks for itself (LOCAL),
    /// cannot say (UNKNOWN), or was not reached by TCP (UNIX, UDP); the socket's addresses hold then.
    fn from_header(header: Header) -> Option<Self> {
        match header {
            Header::Tcp(addresses) => Some(Self {
                source: addresses.source().socket_addr(),
                destination: addresses.destination().socket_addr(),
            }),
            Header::Udp(_) | Header::Unix | Header::Unknown | Header::Local => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb";
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n";

    /// Reads bytes that come one by one; how many were there when it was decided, and how.
    fn trickle(mut reader: HeaderReader, bytes: &[u8]) -> (usize, Verdict) {
        for sent in 0..=bytes.len() {
            match reader.read(&bytes[..sent]) {
                Verdict::NeedMore => {}
                verdict => return (sent, verdict),
            }
        }
        (bytes.len(), reader.end())
    }

    fn proxied() -> Option<Proxied> {
        let end = |text: &str| text.parse().expect("an address with a port");
        Some(Proxied { source: end("203.0.113.7:56324"), destination: end("198.51.100.1:443") })
    }

    #[test]
    fn a_header_of_a_trusted_sender_is_read_and_what_follows_is_not() {
        let unix = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8"[..], &[b'/'; 216]].concat();
        let udp = [&V2[..13], b"\x12", &V2[14..]].concat();
        let mapped = b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:198.51.100.1 56324 443\r\n";
        let table: [(&[u8], Option<Proxied>); 7] = [
            (V1, proxied()),
            (V2, proxied()),
            (mapped, proxied()),
            (LOCAL, None),
            (b"PROXY UNKNOWN\r\n", None),
            (&unix, None),
            (&udp, None),
        ];
        for (header, proxied) in table {
            let length = header.len();
            for optional in [false, true] {
                let expected = Verdict::Header { length, proxied };
                let bytes = [header, REQUEST].concat();
                assert_eq!(
                    HeaderReader::new(true, optional).read(&bytes),
                    expected,
                    "{}",
                    header.escape_ascii()
                );
                assert_eq!(trickle(HeaderReader::new(true, optional), &bytes), (length, expected));
            }
        }
    }

    #[test]
    fn a_missing_header_is_refused_unless_it_is_optional() {
        for (bytes, decided) in
            [(REQUEST, 1), (b"\x16\x03\x01", 1), (b"PROPFIND / HTTP/1.1\r\n", 4), (b"\r\nGET", 3)]
        {
            for trusted in [false, true] {
                let refused = Verdict::Refused(Refusal::ProxyMissing);
                assert_eq!(trickle(HeaderReader::new(trusted, false), bytes), (decided, refused));
                assert_eq!(trickle(HeaderReader::new(trusted, true), bytes), (decided, Verdict::Absent));
            }
        }
    }

    #[test]
    fn a_header_of_an_untrusted_sender_is_refused_at_its_signature() {
        for optional in [false, true] {
            let refused = Verdict::Refused(Refusal::ProxyUntrusted);
            for (bytes, signature) in [(V1, 6), (V2, 12), (LOCAL, 12), (b"PROXY nonsense", 6)] {
                assert_eq!(trickle(HeaderReader::new(false, optional), bytes), (signature, refused));
                assert_eq!(HeaderReader::new(false, optional).read(bytes), refused);
            }
        }
    }

    #[test]
    fn a_malformed_header_is_refused_though_it_is_optional() {
        let table: [&[u8]; 4] = [
            b"PROXY TCP4 nonsense\r\n",
            b"PROXY / HTTP/1.1\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x31",
            &[&V2[..15], b"\x0b"].concat(),
        ];
        for bytes in table {
            for optional in [false, true] {
                let verdict = HeaderReader::new(true, optional).read(bytes);
                assert_eq!(verdict, Verdict::Refused(Refusal::ProxyMalformed), "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn a_client_that_closes_is_judged_by_what_it_sent() {
        let aborted = Verdict::Refused(Refusal::Aborted);
        for (bytes, required, optional) in [
            (&b""[..], Verdict::Absent, Verdict::Absent),
            (b"P", aborted, Verdict::Absent),
            (b"PROXY", aborted, Verdict::Absent),
            (b"PROXY ", aborted, aborted),
            (&V1[..V1.len() - 1], aborted, aborted),
            (&V2[..V2.len() - 1], aborted, aborted),
        ] {
            assert_eq!(trickle(HeaderReader::new(true, false), bytes), (bytes.len(), required));
            assert_eq!(trickle(HeaderReader::new(true, true), bytes), (bytes.len(), optional));
        }
    }
}
