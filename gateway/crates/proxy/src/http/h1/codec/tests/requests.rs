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

#[test]
fn versions_that_are_not_served_are_505() {
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0"] {
        let error = request(format!("GET / {version}").as_bytes()).unwrap_err();
        assert_eq!((error, error.status().as_u16()), (RequestError::UnsupportedVersion, 505), "{version}");
    }
}

#[test]
fn a_malformed_field_is_refused_at_the_byte() {
    for (lines, expected) in [
        (" ", "a field line begins with white space"),
        ("host: x\r\n\t", "a field line begins with white space"),
        ("host ", "white space stands before a colon"),
        ("host\t", "white space stands before a colon"),
        ("host\r", "a field line has no colon"),
        ("host\n", "a field line has no colon"),
        (":", "a field name is empty"),
        ("ho\0", "a field name is not a token"),
        ("ho(", "a field name is not a token"),
        ("h\u{f6}", "a field name is not a token"),
        ("a: b\n", "a field line ends with a bare line feed"),
        ("a: \n", "a field line ends with a bare line feed"),
        ("a: b\0", "a field value holds a control character"),
        ("a: b\u{7f}", "a field value holds a control character"),
        ("a: b\u{b}", "a field value holds a control character"),
        ("a: b\rc", "a field value holds a bare carriage return"),
        ("a: b\r\r", "a field value holds a bare carriage return"),
        ("\n", "a section ends with a bare line feed"),
        ("host: x\r\n\r\r", "a field line begins with a bare carriage return"),
    ] {
        assert_eq!(reason(&format!("GET / HTTP/1.1\r\n{lines}")), expected, "{lines:?}");
    }
}

#[test]
fn exactly_one_valid_host_is_required_in_every_version() {
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", "there is no host"),
        ("GET / HTTP/1.0\r\n\r\n", "there is no host"),
        ("GET http://x/ HTTP/1.1\r\n\r\n", "there is no host"),
        ("GET / HTTP/1.1\r\nhost: x\r\nHOST: x\r\n", "host is repeated"),
        ("GET / HTTP/1.1\r\nhost:\r\n", "host is not a host"),
        ("GET / HTTP/1.1\r\nhost: x y\r\n", "host is not a host"),
        ("GET / HTTP/1.1\r\nhost: u@x\r\n", "host is not a host"),
        ("GET / HTTP/1.1\r\nhost: x/\r\n", "host is not a host"),
        ("GET http://x/ HTTP/1.1\r\nhost: y\r\n\r\n", "target and host name different authorities"),
        ("GET http://x:80/ HTTP/1.1\r\nhost: x\r\n\r\n", "target and host name different authorities"),
        ("CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", "target and host name different authorities"),
    ] {
        assert_eq!(reason(request), expected, "{request:?}");
    }
    assert_eq!(read("GET / HTTP/1.0\r\nhost: x\r\n\r\n").head.version, Version::HTTP_10);
    read("GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n");
    read("GET http://X:80/ HTTP/1.1\r\nhost: x:80\r\n\r\n");
}

#[test]
fn framing_is_said_once_and_clearly() {
    for (fields, expected) in [
        ("content-length: 3\r\ncontent-length: 3\r\n", "content-length is repeated"),
        ("content-length: 3, 3\r\n", "content-length is not a number"),
        ("content-length: +3\r\n", "content-length is not a number"),
        ("content-length: -3\r\n", "content-length is not a number"),
        ("content-length: 0x3\r\n", "content-length is not a number"),
        ("content-length: 3 3\r\n", "content-length is not a number"),
        ("content-length:\r\n", "content-length is empty"),
        ("content-length: 18446744073709551616\r\n", "content-length is larger than 64 bits"),
        ("content-length: 99999999999999999999\r\n", "content-length is larger than 64 bits"),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n", "transfer-encoding is repeated"),
        ("transfer-encoding: chunked, chunked\r\n", "chunked is applied twice"),
        ("transfer-encoding:\r\n", "transfer-encoding is not a list of codings"),
        ("transfer-encoding: ,chunked\r\n", "transfer-encoding is not a list of codings"),
        ("transfer-encoding: \"chunked\"\r\n", "transfer-encoding is not a list of codings"),
        ("transfer-encoding: chunked;q=1\r\n", "transfer-encoding is not a list of codings"),
        (
            "content-length: 3\r\ntransfer-encoding: chunked\r\n",
            "content-length and transfer-encoding contradict each other",
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
            "content-length and transfer-encoding contradict each other",
        ),
    ] {
        assert_eq!(reason(&format!("POST / HTTP/1.1\r\nhost: x\r\n{fields}")), expected, "{fields:?}");
    }
    let old = "POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n";
    assert_eq!(reason(old), "transfer-encoding stands in HTTP/1.0");
    for fields in ["content-length: 0", "transfer-encoding: chunked"] {
        let connect = format!("CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n{fields}\r\n\r\n");
        assert_eq!(reason(&connect), "CONNECT announces a body");
    }
    for coding in ["gzip", "gzip, chunked", "chunked, gzip", "xchunked", "identity"] {
        let bytes = format!("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: {coding}\r\n");
        let error = request(bytes.as_bytes()).unwrap_err();
        assert_eq!((error, error.status().as_u16()), (RequestError::UnknownTransferCoding, 501), "{coding}");
    }
}

#[test]
fn bodies_are_framed_alike_for_every_method() {
    for method in ["GET", "POST", "HEAD", "DELETE", "X"] {
        for (fields, body) in [
            ("", Framing::Empty),
            ("content-length: 0\r\n", Framing::Length(0)),
            ("Content-Length: \t007 \r\n", Framing::Length(7)),
            ("content-length: 18446744073709551615\r\n", Framing::Length(u64::MAX)),
            ("Transfer-Encoding: CHUNKED\r\n", Framing::Chunked),
        ] {
            let bytes = format!("{method} / HTTP/1.1\r\n{fields}host: x\r\n\r\n");
            assert_eq!(read(&bytes).body, body, "{bytes:?}");
        }
    }
}

#[test]
fn a_connection_persists_as_all_connection_fields_say() {
    for (version, fields, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "connection: close\r\n", false),
        ("1.1", "connection: keep-alive, CLOSE\r\n", false),
        ("1.1", "connection: x\r\nconnection: ,close,\r\n", false),
        ("1.1", "connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "connection: Keep-Alive\r\n", true),
        ("1.0", "connection: keep-alive\r\nconnection: close\r\n", false),
        ("1.0", "proxy-connection: keep-alive\r\n", false),
    ] {
        let head = read(&format!("GET / HTTP/{version}\r\nhost: x\r\n{fields}\r\n"));
        assert_eq!(head.keep_alive, keep_alive, "{version} {fields:?}");
    }
    let odd = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close;x\r\n";
    assert_eq!(reason(odd), "an option of connection is not a token");
}

#[test]
fn upgrades_and_expectations_are_of_http_1_1() {
    for (version, fields, upgrade, expects) in [
        ("1.1", "connection: Upgrade\r\nupgrade: websocket\r\n", true, false),
        ("1.1", "upgrade: websocket\r\n", false, false),
        ("1.1", "connection: upgrade\r\n", false, false),
        ("1.1", "connection: upgrade\r\nupgrade:\r\n", false, false),
        ("1.0", "connection: upgrade\r\nupgrade: websocket\r\n", false, false),
        ("1.1", "expect: 100-Continue\r\ncontent-length: 1\r\n", false, true),
        ("1.1", "expect: 100-continue\r\ntransfer-encoding: chunked\r\n", false, true),
        ("1.1", "expect: 100-continue\r\n", false, false),
        ("1.1", "expect: 100-continue\r\ncontent-length: 0\r\n", false, false),
        ("1.1", "expect: other\r\ncontent-length: 1\r\n", false, false),
        ("1.0", "expect: 100-continue\r\ncontent-length: 1\r\n", false, false),
    ] {
        let head = read(&format!("POST / HTTP/{version}\r\nhost: x\r\n{fields}\r\n"));
        assert_eq!((head.upgrade, head.expects_continue), (upgrade, expects), "{version} {fields:?}");
    }
}

#[test]
fn limits_are_exact() {
    let head = "GET /abc HTTP/1.1\r\nhost: x\r\na: b\r\n\r\n";
    let parse = |max_bytes, max_fields, bytes: &str| {
        RequestParser::new(HeadLimits { max_bytes, max_fields }).parse(&mut BytesMut::from(bytes))
    };
    let body = format!("{head}rest");
    assert!(parse(head.len(), 2, &body).unwrap().is_some());
    assert_eq!(parse(head.len() - 1, 2, &body).unwrap_err(), RequestError::HeadTooLarge);
    assert_eq!(parse(head.len(), 1, &body).unwrap_err(), RequestError::HeadTooLarge);
    assert_eq!(RequestError::HeadTooLarge.status().as_u16(), 431);
    for max_bytes in "GET ".len()..="GET /abc".len() {
        let error = parse(max_bytes, 2, head).unwrap_err();
        assert_eq!((error, error.status().as_u16()), (RequestError::TargetTooLong, 414), "{max_bytes}");
    }
    // Full, and the end not there: no more bytes can help.
    assert_eq!(parse(10, 2, "GET / HTTP").unwrap_err(), RequestError::HeadTooLarge);
    assert!(parse(11, 2, "GET / HTTP").unwrap().is_none());
    let target = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(0xfffe));
    assert_eq!(parse(1 << 20, 2, &target).unwrap_err(), RequestError::TargetTooLong);
    let name = format!("GET / HTTP/1.1\r\nhost: x\r\n{}: a\r\n\r\n", "a".repeat(1 << 16));
    assert_eq!(parse(1 << 20, 2, &name).unwrap_err(), RequestError::HeadTooLarge);
}

#[test]
fn a_request_has_begun_with_its_first_byte_and_not_with_stray_line_ends() {
    let mut parser = RequestParser::new(HeadLimits::default());
    let mut buffer = BytesMut::new();
    let mut begun = Vec::new();
    for byte in b"\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n\r\nG" {
        buffer.extend_from_slice(&[*byte]);
        let _ = parser.parse(&mut buffer).unwrap();
        begun.push(if parser.has_begun(&buffer) { '1' } else { '0' });
    }
    let begun: String = begun.into_iter().collect();
    // The last byte of the head ends it; what follows is the next one.
    assert_eq!(begun, format!("0000{}0001", "1".repeat("GET / HTTP/1.1\r\nhost: x\r\n\r".len())));
}

#[test]
fn requests_come_one_after_the_other_on_one_parser() {
    let mut buffer = BytesMut::new();
    for number in 0..5 {
        buffer.extend_from_slice(
            format!("GET /{number} HTTP/1.1\r\nhost: x\r\nx-n: {number}\r\n\r\n").as_bytes(),
        );
    }
    let mut parser = RequestParser::new(HeadLimits::default());
    for number in 0..5 {
        let head = parser.parse(&mut buffer).unwrap().unwrap().head;
        assert_eq!(head.uri.path(), format!("/{number}"));
        assert_eq!(head.headers["x-n"], number.to_string());
        assert_eq!(head.headers.len(), 2);
    }
    assert!(buffer.is_empty() && parser.parse(&mut buffer).unwrap().is_none());
}
