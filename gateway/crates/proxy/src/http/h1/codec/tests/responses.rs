use ::bytes::BytesMut;
use http::Method;

use super::super::*;

fn response(bytes: &str, method: &Method) -> Result<Option<ResponseHead>, ResponseError> {
    ResponseParser::new(HeadLimits::default()).parse(&mut BytesMut::from(bytes), method)
}

fn read(bytes: &str, method: &Method) -> ResponseHead {
    match response(bytes, method) {
        Ok(Some(head)) => head,
        other => panic!("{bytes:?}: {other:?}"),
    }
}

#[test]
fn interim_responses_are_heads_of_their_own() {
    let bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx";
    let mut buffer = BytesMut::from(bytes);
    let mut parser = ResponseParser::new(HeadLimits::default());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let head = parser.parse(&mut buffer, &Method::GET).unwrap().unwrap();
        seen.push((head.head.status.as_u16(), head.head.headers.len(), head.body, head.keep_alive));
    }
    assert_eq!(
        seen,
        [(100, 0, Framing::Empty, true), (103, 1, Framing::Empty, true), (200, 1, Framing::Length(1), true),]
    );
    assert_eq!(&buffer[..], b"x");
}

#[test]
fn status_lines_may_lack_a_reason_and_nothing_else() {
    for line in ["HTTP/1.1 200", "HTTP/1.1 200 ", "HTTP/1.0 200 Very\tOK \u{e4}", "HTTP/1.1 599 x"] {
        read(&format!("{line}\r\n\r\n"), &Method::GET);
    }
    for (line, expected) in [
        ("\r", "the version is not HTTP/1.1"),
        ("http", "the version is not HTTP/1.1"),
        ("HTTP/1.1  ", "the status is not of 100 to 599"),
        ("HTTP/1.1\t", "the status is not of 100 to 599"),
        ("HTTP/1.1 0", "the status is not of 100 to 599"),
        ("HTTP/1.1 6", "the status is not of 100 to 599"),
        ("HTTP/1.1 20 ", "the status is not of 100 to 599"),
        ("HTTP/1.1 2000", "the status is not three digits"),
        ("HTTP/1.1 200\n", "the status is not three digits"),
        ("HTTP/1.1 200\rO", "the status line does not end with CRLF"),
        ("HTTP/1.1 200 OK\n", "the reason holds a control character"),
        ("HTTP/1.1 200 O\0", "the reason holds a control character"),
        ("HTTP/1.1 200 OK\r\r", "the status line does not end with CRLF"),
        ("HTTP/1.1 200 OK\r\n a", "a field line begins with white space"),
        ("HTTP/1.1 200 OK\r\na : b", "white space stands before a colon"),
        ("HTTP/1.1 200 OK\r\na: b\n", "a field line ends with a bare line feed"),
    ] {
        let error = response(line, &Method::GET).unwrap_err();
        assert_eq!(error, ResponseError::Malformed(expected), "{line:?}");
    }
    assert_eq!(response("HTTP/2.0", &Method::GET).unwrap_err(), ResponseError::UnsupportedVersion);
}

#[test]
fn bodies_depend_on_method_status_and_fields() {
    use Framing::{Chunked, Empty, Length, UntilClose};
    let (length, chunks) = ("content-length: 5\r\n", "transfer-encoding: chunked\r\n");
    for (method, status, fields, body, keep_alive) in [
        (Method::GET, 200, length, Length(5), true),
        (Method::GET, 200, "content-length: 0\r\n", Length(0), true),
        (Method::GET, 200, chunks, Chunked, true),
        (Method::GET, 200, "", UntilClose, false),
        (Method::GET, 200, "connection: close\r\ncontent-length: 5\r\n", Length(5), false),
        (Method::HEAD, 200, length, Empty, true),
        (Method::HEAD, 200, chunks, Empty, true),
        (Method::HEAD, 200, "", Empty, true),
        (Method::GET, 304, length, Empty, true),
        (Method::GET, 304, "", Empty, true),
        (Method::GET, 204, "", Empty, true),
        (Method::GET, 204, "content-length: 0\r\n", Empty, true),
        (Method::GET, 204, length, Empty, false),
        (Method::GET, 204, chunks, Empty, false),
        (Method::GET, 100, chunks, Empty, false),
        (Method::GET, 101, "", UntilClose, false),
        (Method::CONNECT, 200, length, Empty, true),
        (Method::CONNECT, 407, length, Length(5), true),
        (Method::GET, 500, "", UntilClose, false),
    ] {
        let head = read(&format!("HTTP/1.1 {status} x\r\n{fields}\r\n"), &method);
        assert_eq!((head.body, head.keep_alive), (body, keep_alive), "{method} {status} {fields:?}");
    }
    assert!(!read("HTTP/1.0 200 x\r\ncontent-length: 5\r\n\r\n", &Method::GET).keep_alive);
    assert!(
        read("HTTP/1.0 200 x\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\n", &Method::GET)
            .keep_alive
    );
}

#[test]
fn ambiguous_framing_is_refused_also_where_no_body_follows() {
    for method in [Method::GET, Method::HEAD] {
        for (version, fields, expected) in [
            ("1.1", "content-length: 5\r\ncontent-length: 5\r\n", "content-length is repeated"),
            (
                "1.1",
                "content-length: 5\r\ntransfer-encoding: chunked\r\n",
                "content-length and transfer-encoding contradict each other",
            ),
            ("1.0", "transfer-encoding: chunked\r\n", "transfer-encoding stands in HTTP/1.0"),
            ("1.1", "content-length: five\r\n", "content-length is not a number"),
        ] {
            let error = response(&format!("HTTP/{version} 200 x\r\n{fields}"), &method).unwrap_err();
            assert_eq!(error, ResponseError::Malformed(expected), "{fields:?}");
        }
    }
    let coding = "HTTP/1.1 200 x\r\ntransfer-encoding: gzip\r\n";
    assert_eq!(response(coding, &Method::GET).unwrap_err(), ResponseError::UnknownTransferCoding);
}

#[test]
fn limits_are_exact() {
    let head = "HTTP/1.1 200 OK\r\na: b\r\nc: d\r\n\r\n";
    let parse = |max_bytes, max_fields| {
        let mut buffer = BytesMut::from(head);
        ResponseParser::new(HeadLimits { max_bytes, max_fields }).parse(&mut buffer, &Method::GET)
    };
    assert!(parse(head.len(), 2).unwrap().is_some());
    assert_eq!(parse(head.len() - 1, 2).unwrap_err(), ResponseError::HeadTooLarge);
    assert_eq!(parse(head.len(), 1).unwrap_err(), ResponseError::HeadTooLarge);
}
