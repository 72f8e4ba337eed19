use std::net::SocketAddr;

use ebpf_common::proxy_protocol::{Malformed, Parser, Step};

use crate::{Said, Verdict, assert_header, automaton, wrong};

fn end(text: &str) -> SocketAddr {
    text.parse().expect("an address with a port")
}

#[test]
fn sound_lines_are_read() {
    let table = [
        ("TCP4 203.0.113.7 198.51.100.1 56324 443", "203.0.113.7:56324", "198.51.100.1:443"),
        (
            "TCP4 255.255.255.255 255.255.255.255 65535 65535",
            "255.255.255.255:65535",
            "255.255.255.255:65535",
        ),
        ("TCP4 0.0.0.0 0.0.0.0 0 0", "0.0.0.0:0", "0.0.0.0:0"),
        ("TCP6 2001:db8::7 2001:DB8::1 56324 443", "[2001:db8::7]:56324", "[2001:db8::1]:443"),
        ("TCP6 ::ffff:203.0.113.7 ::ffff:c633:6401 1 2", "203.0.113.7:1", "198.51.100.1:2"),
        ("TCP6 :: ::1 1 2", "[::]:1", "[::1]:2"),
        (
            "TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
        ),
    ];
    for (line, source, destination) in table {
        assert_header(format!("PROXY {line}\r\n").as_bytes(), Said::Tcp(end(source), end(destination)));
    }
}

#[test]
fn unknown_skips_what_it_says() {
    assert_header(b"PROXY UNKNOWN\r\n", Said::Unknown);
    assert_header(b"PROXY UNKNOWN \r\n", Said::Unknown);
    assert_header(b"PROXY UNKNOWN 1.2.3.4 whatever \xff\0 99999\r\n", Said::Unknown);
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(107 - 16));
    assert_eq!(longest.len(), 107);
    assert_header(longest.as_bytes(), Said::Unknown);
}

#[test]
fn anything_else_is_malformed_for_its_reason() {
    use Malformed::{Address, LineEnd, LineTooLong, Port, Protocol};
    let too_long = format!("UNKNOWN {}\r\n", "x".repeat(107 - 15));
    let table = [
        ("TCP9 1.2.3.4 1.2.3.4 1 2\r\n", Protocol),
        ("tcp4 1.2.3.4 1.2.3.4 1 2\r\n", Protocol),
        ("UNKNOWNS\r\n", Protocol),
        ("\0TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Protocol),
        (" TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Protocol),
        ("/ HTTP/1.1\r\n", Protocol),
        ("TCP4  1.2.3.4 1.2.3.4 1 2\r\n", Address),
        ("TCP4 1.2.3.4  1.2.3.4 1 2\r\n", Address),
        ("TCP4 1.2.3.4\t1.2.3.4 1 2\r\n", Address),
        ("TCP4 1.2.3.04 1.2.3.4 1 2\r\n", Address),
        ("TCP4 1.2.3.256 1.2.3.4 1 2\r\n", Address),
        ("TCP4 1.2.3 1.2.3.4 1 2\r\n", Address),
        ("TCP4 ::1 ::1 1 2\r\n", Address),
        ("TCP4 1.2.3.4 ::1 1 2\r\n", Address),
        ("TCP6 1.2.3.4 1.2.3.4 1 2\r\n", Address),
        ("TCP6 ::1%1 ::1 1 2\r\n", Address),
        ("TCP6 ::1 1::2::3 1 2\r\n", Address),
        ("TCP4 1.2.3.4 1.2.3.4  1 2\r\n", Port),
        ("TCP4 1.2.3.4 1.2.3.4 01 2\r\n", Port),
        ("TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", Port),
        ("TCP4 1.2.3.4 1.2.3.4 1 \r\n", Port),
        ("TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", Port),
        ("TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", Port),
        ("TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", Port),
        ("TCP4 1.2.3.4 1.2.3.4 1\r\n", LineEnd),
        ("TCP4 1.2.3.4\r\n", LineEnd),
        ("TCP4\r\n", LineEnd),
        ("\r\n", LineEnd),
        ("TCP4 1.2.3.4 1.2.3.4 1 2\n", LineEnd),
        ("TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", LineEnd),
        ("TCP4 1.2.3.4 1.2.3.4 1 2\rGET", LineEnd),
        ("UNKNOWN\n", LineEnd),
        ("UNKNOWN x\n", LineEnd),
        ("UNKNOWN x\rx\r\n", LineEnd),
        (&too_long, LineTooLong),
    ];
    for (line, reason) in table {
        assert_eq!(wrong(format!("PROXY {line}").as_bytes()), Some(reason), "{line:?}");
    }
}

#[test]
fn another_protocol_is_recognised_at_the_first_byte_that_differs() {
    let table: [(&[u8], usize); 9] = [
        (b"GET / HTTP/1.1\r\n", 1),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 1),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 3),
        (b"POST / HTTP/1.1\r\n", 2),
        (b"PROPFIND / HTTP/1.1\r\n", 4),
        (b"PROXYING / HTTP/1.1\r\n", 6),
        (b"\r\nGET / HTTP/1.1\r\n", 3),
        (b"\r\n\r\nGET / HTTP/1.1\r\n", 5),
        (b"\r\n\r\n\0\r\nQUIT ", 12),
    ];
    for (bytes, differs) in table {
        assert_eq!(automaton(&bytes[..differs - 1]), None);
        assert_eq!(automaton(bytes), Some(Verdict::NotProxy), "{}", bytes.escape_ascii());
        let mut parser = Parser::new();
        assert_eq!(
            (parser.feed(bytes), parser.consumed()),
            (Step::NotProxy, differs),
            "{}",
            bytes.escape_ascii()
        );
        assert!(!parser.is_recognised());
    }
}

#[test]
fn a_header_is_recognised_with_its_signature() {
    for (bytes, signature) in [(&b"PROXY TCP4 nonsense"[..], 6), (b"\r\n\r\n\0\r\nQUIT\n\x31", 12)] {
        let mut parser = Parser::new();
        for (read, byte) in bytes.iter().enumerate() {
            assert_eq!(parser.is_recognised(), read >= signature, "{}", bytes.escape_ascii());
            parser.step(*byte);
        }
        assert!(parser.is_recognised(), "malformed is recognised too");
    }
}
