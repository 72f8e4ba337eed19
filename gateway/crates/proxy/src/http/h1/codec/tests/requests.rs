use ::bytes::BytesMut;
use http::{Method, Version};

use super::{super::*, request};

fn read(bytes: &str) -> RequestHead {
    match request(bytes.as_bytes()) {
        Ok(Some(head)) => head,
        other => panic!("{bytes:?}: {other:?}"),
    }
}

/// Refused, and no later than when `bytes` are there: nothing behind them is needed.
fn reason(bytes: &str) -> &'static str {
    match request(bytes.as_bytes()) {
        Err(RequestError::Malformed(reason)) => reason,
        other => panic!("{bytes:?}: {other:?}"),
    }
}

#[test]
fn a_plain_request_is_read_and_what_follows_it_is_left() {
    let mut buffer = BytesMut::from(
        "\r\nPOST /a?b=c HTTP/1.1\r\nHost: a.test:80\r\nX-One:1\r\nx-one: \t2 \t\r\nEmpty:\r\ncontent-length: 4\r\n\r\nbodyGET",
    );
    let head = RequestParser::new(HeadLimits::default()).parse(&mut buffer).unwrap().unwrap();
    assert_eq!(&buffer[..], b"bodyGET");
    assert_eq!(head.head.method, Method::POST);
    assert_eq!(head.head.uri, "/a?b=c");
    assert_eq!(head.head.version, Version::HTTP_11);
    assert_eq!(head.head.headers["host"], "a.test:80");
    assert_eq!(head.head.headers["empty"], "");
    let ones: Vec<_> = head.head.headers.get_all("x-one").iter().collect();
    assert_eq!(ones, ["1", "2"]);
    assert_eq!(head.body, Framing::Length(4));
    assert!(head.keep_alive && !head.expects_continue && !head.upgrade);
}

#[test]
fn targets_come_in_four_forms() {
    for (line, uri) in [
        ("GET /", "/"),
        ("GET //a/../b;c?d?e=/%00", "//a/../b;c?d?e=/%00"),
        ("OPTIONS *", "*"),
        ("OPTIONS /a", "/a"),
        ("GET http://x", "http://x/"),
        ("GET HTTPS://X/a?b", "https://X/a?b"),
        ("GET http://x?b", "http://x/?b"),
        ("purge /a|b", "/a|b"),
    ] {
        assert_eq!(read(&format!("{line} HTTP/1.1\r\nhost: x\r\n\r\n")).head.uri.to_string(), uri, "{line}");
    }
    assert_eq!(read("CONNECT x:443 HTTP/1.1\r\nhost: X:443\r\n\r\n").head.uri, "x:443");
    assert_eq!(read("OPTIONS http://x HTTP/1.1\r\nhost: x\r\n\r\n").head.uri.path(), "*");
}

#[test]
fn a_malformed_request_line_is_refused_at_the_byte() {
    for (bytes, expected) in [
        ("\r\n\r\n\r\n", "empty lines come instead of a request"),
        ("\n", "a line ends without CRLF"),
        ("\rG", "a line ends without CRLF"),
        (" ", "the method is not a token"),
        ("GET\r", "the method is not a token"),
        ("G\0", "the method is not a token"),
        ("\u{16}", "the method is not a token"),
        ("GET  ", "the target is neither a path nor an http or https URI"),
        ("GET /a\t", "the target holds a byte that no URI has"),
        ("GET /a\r", "the target holds a byte that no URI has"),
        ("GET /a#", "the target holds a byte that no URI has"),
        ("GET /a?b#", "the target holds a byte that no URI has"),
        ("GET /\u{e4}", "the target holds a byte that no URI has"),
        ("GET /a?\0", "the target holds a byte that no URI has"),
        ("GET /<", "the target holds a byte that no URI has"),
        ("GET a ", "the target is neither a path nor an http or https URI"),
        ("GET ftp://x/ ", "the target is neither a path nor an http or https URI"),
        ("GET x:80 ", "the target is neither a path nor an http or https URI"),
        ("GET * ", "the target * is of OPTIONS only"),
        ("GET http://u@x/ ", "the authority of the target is not a host"),
        ("GET http:/// ", "the authority of the target is not a host"),
        ("GET http://x/a#b ", "the target holds a byte that no URI has"),
        ("GET http://x/? h", "the version is not HTTP/1.1"),
        ("CONNECT /a ", "the target of CONNECT is not a host and a port"),
        ("CONNECT x ", "the target of CONNECT is not a host and a port"),
        ("CONNECT [::1] ", "the target of CONNECT is not a host and a port"),
        ("GET /  ", "the version is not HTTP/1.1"),
        ("GET / http", "the version is not HTTP/1.1"),
        ("GET / HTTP/1.1 ", "the request line does not end with CRLF"),
        ("GET / HTTP/1.1\n", "the request line does not end with CRLF"),
        ("GET / HTTP/1.1\rH", "the request line does not end with CRLF"),
        ("GET / HTTP/1.10", "the request line does not end with CRLF"),
    ] {
        assert_eq!(reason(bytes), expected, "{bytes:?}");
    }
}
