use ::bytes::BytesMut;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, request, response};

use super::super::*;

fn request(method: &str, uri: &str, fields: &[(&'static str, &'static str)]) -> request::Parts {
    let mut head = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
    append(&mut head.headers, fields);
    head
}

fn response(status: u16, fields: &[(&'static str, &'static str)]) -> response::Parts {
    let mut head = Response::builder().status(status).body(()).unwrap().into_parts().0;
    append(&mut head.headers, fields);
    head
}

fn append(headers: &mut HeaderMap, fields: &[(&'static str, &'static str)]) {
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
}

fn written(write: impl FnOnce(&mut BytesMut)) -> String {
    let mut out = BytesMut::new();
    write(&mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn a_request_takes_its_own_framing_and_no_other() {
    let fields = [
        ("x-a", "1"),
        ("host", "a.test"),
        ("content-length", "9"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "1"),
        ("upgrade", "h2c"),
        ("x-a", "2"),
    ];
    for (method, body, framing) in [
        ("GET", Framing::Empty, ""),
        ("POST", Framing::Empty, "content-length: 0\r\n"),
        ("GET", Framing::Length(0), "content-length: 0\r\n"),
        ("PUT", Framing::Length(u64::MAX), "content-length: 18446744073709551615\r\n"),
        ("POST", Framing::Chunked, "transfer-encoding: chunked\r\n"),
    ] {
        let head = request(method, "/p?q", &fields);
        let expected = format!("{method} /p?q HTTP/1.1\r\nhost: a.test\r\nx-a: 1\r\nx-a: 2\r\n{framing}\r\n");
        assert_eq!(written(|out| encode_request(&head, body, None, out)), expected);
    }
    let head = request("GET", "/ws", &[("host", "a"), ("upgrade", "ignored")]);
    let protocol = HeaderValue::from_static("websocket");
    assert_eq!(
        written(|out| encode_request(&head, Framing::Empty, Some(&protocol), out)),
        "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
}

#[test]
fn targets_and_hosts_of_every_form_are_written_for_an_origin() {
    for (method, uri, host, line, expected) in [
        ("GET", "http://a.test/p?q", None, "GET /p?q", "a.test"),
        ("GET", "https://a.test", None, "GET /", "a.test"),
        ("GET", "http://a.test?q", None, "GET /?q", "a.test"),
        ("GET", "http://a.test/", Some("b.test"), "GET /", "b.test"),
        ("OPTIONS", "*", Some("b.test"), "OPTIONS *", "b.test"),
        ("CONNECT", "a.test:443", Some("a.test:443"), "CONNECT a.test:443", "a.test:443"),
        ("CONNECT", "a.test:443", None, "CONNECT a.test:443", "a.test:443"),
        ("GET", "/", None, "GET /", ""),
    ] {
        let mut head = request(method, uri, &[]);
        if let Some(host) = host {
            head.headers.insert("host", HeaderValue::from_static(host));
        }
        let expected = format!("{line} HTTP/1.1\r\nhost: {expected}\r\n\r\n");
        assert_eq!(written(|out| encode_request(&head, Framing::Empty, None, out)), expected);
    }
}

#[test]
fn several_cookie_fields_become_one() {
    let head = request("GET", "/", &[("host", "a"), ("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]);
    assert_eq!(
        written(|out| encode_request(&head, Framing::Empty, None, out)),
        "GET / HTTP/1.1\r\nhost: a\r\ncookie: a=1; b=2\r\nx: y\r\n\r\n"
    );
}

#[test]
fn a_response_says_its_framing_and_whether_the_connection_persists() {
    use Connection::{Close, KeepAlive, Upgrade};
    use Framing::{Chunked, Empty, Length, UntilClose};
    let (old, new) = (Version::HTTP_10, Version::HTTP_11);
    for (status, body, connection, version, expected) in [
        (200, Length(5), KeepAlive, new, "200 OK\r\nx: y\r\ncontent-length: 5\r\n"),
        (200, Length(5), KeepAlive, old, "200 OK\r\nx: y\r\ncontent-length: 5\r\nconnection: keep-alive\r\n"),
        (
            404,
            Chunked,
            Close,
            new,
            "404 Not Found\r\nx: y\r\ntransfer-encoding: chunked\r\nconnection: close\r\n",
        ),
        (200, UntilClose, KeepAlive, old, "200 OK\r\nx: y\r\nconnection: close\r\n"),
        (200, Empty, KeepAlive, new, "200 OK\r\nx: y\r\ncontent-length: 9\r\n"),
        (304, Empty, KeepAlive, new, "304 Not Modified\r\nx: y\r\ncontent-length: 9\r\n"),
        (204, Empty, KeepAlive, new, "204 No Content\r\nx: y\r\n"),
        (
            101,
            Empty,
            Upgrade,
            new,
            "101 Switching Protocols\r\nx: y\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
        ),
        (599, Length(0), Close, new, "599 \r\nx: y\r\ncontent-length: 0\r\nconnection: close\r\n"),
    ] {
        let fields = [
            ("content-length", "9"),
            ("transfer-encoding", "chunked"),
            ("connection", "x"),
            ("upgrade", "websocket"),
            ("keep-alive", "1"),
            ("x", "y"),
        ];
        let head = response(status, &fields);
        assert_eq!(
            written(|out| encode_response(&head, body, connection, version, out)),
            format!("HTTP/1.1 {expected}\r\n")
        );
    }
    let odd = response(200, &[("content-length", "5, 5")]);
    assert_eq!(written(|out| encode_response(&odd, Empty, KeepAlive, new, out)), "HTTP/1.1 200 OK\r\n\r\n");
}

#[test]
fn interim_responses_have_no_framing() {
    let mut headers = HeaderMap::new();
    append(&mut headers, &[("link", "</a>"), ("content-length", "5"), ("connection", "close")]);
    assert_eq!(
        written(|out| encode_informational(StatusCode::CONTINUE, &HeaderMap::new(), out)),
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    assert_eq!(
        written(|out| encode_informational(StatusCode::EARLY_HINTS, &headers, out)),
        "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    );
}

#[test]
fn chunks_are_written_as_they_are_read() {
    for length in [1, 9, 10, 15, 16, 255, 4096, usize::MAX] {
        assert_eq!(written(|out| chunk_head(length, out)), format!("{length:x}\r\n"));
    }
    assert_eq!(written(|out| last_chunk(None, out)), "0\r\n\r\n");
    let mut trailers = HeaderMap::new();
    append(&mut trailers, &[("grpc-status", "0"), ("content-length", "5"), ("a", "1"), ("a", "2")]);
    assert_eq!(
        written(|out| last_chunk(Some(&trailers), out)),
        "0\r\ngrpc-status: 0\r\na: 1\r\na: 2\r\n\r\n"
    );
}
