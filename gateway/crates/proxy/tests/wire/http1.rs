//! HTTP/1 with clients, as bytes.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use ir::ClientSettings;

use crate::{backend::*, configure::*, rules::*, script::*};

fn before(backend: SocketAddr) -> (proxy::Proxy, ReservedPort) {
    let mut proxy = start();
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), to(backend)))])];
    let (port, _) = serve(&mut proxy, ClientSettings::default(), hosts);
    (proxy, port)
}

fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    String::from_utf8(rest).unwrap()
}

/// The statuses of all answers on a connection that is sent these bytes and ends.
fn statuses(address: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut stream = connect(address);
    // A refusal may come before all of it is written.
    let _ = stream.write_all(bytes);
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read);
    let text = String::from_utf8_lossy(&read);
    text.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().unwrap()).collect()
}

#[test]
fn requests_in_one_packet_are_answered_in_order() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let mut stream = connect(port.address());
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n{more}\r\n");
    let requests = get("/1", "") + &get("/2", "") + &get("/3", "connection: close\r\n");
    stream.write_all(requests.as_bytes()).unwrap();
    let answers = rest(&mut stream);
    let places: Vec<_> = ["GET /1 ", "GET /2 ", "GET /3 "].map(|line| answers.find(line).unwrap()).into();
    assert!(places.is_sorted(), "{answers}");
    assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let mut stream = connect(port.address());
    stream.set_nodelay(true).unwrap();
    let request =
        b"POST /slow HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for byte in request {
        stream.write_all(&[*byte]).unwrap();
    }
    // The backend of this test reads no chunks: its answer comes after the head.
    assert!(rest(&mut stream).starts_with("HTTP/1.1 200 OK\r\n"));
}

#[test]
fn bodies_keep_their_framing_and_their_bytes() {
    let backend = Script::start(|mut stream, _| {
        while let Some(head) = read_head(&mut stream) {
            if head.contains("content-length: 1000000\r\n") {
                let body = read_exactly(&mut stream, 1_000_000);
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").unwrap();
                stream.write_all(&body).unwrap();
            } else {
                assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
                let mut body = Vec::new();
                while !body.ends_with(b"0\r\n\r\n") {
                    body.extend(read_exactly(&mut stream, 1));
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
                stream.write_all(&body).unwrap();
            }
        }
    });
    let (_proxy, port) = before(backend.address);
    let mut stream = connect(port.address());
    let body: Vec<u8> = (0..1_000_000_u32).map(|place| (place % 251) as u8).collect();
    stream.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n").unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sent = body.clone();
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    let head = read_head(&mut stream).unwrap();
    assert!(head.contains("content-length: 1000000\r\n"), "{head}");
    assert!(read_exactly(&mut stream, 1_000_000) == body);
    writing.join().unwrap();

    stream.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    stream.write_all(b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\n\r\n").unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    let mut body = Vec::new();
    while !body.ends_with(b"0\r\n\r\n") {
        body.extend(read_exactly(&mut stream, 1));
    }
    let text = String::from_utf8(body).unwrap();
    let data: String = text.split("\r\n").skip(1).step_by(2).collect();
    assert_eq!(data, "hello world", "{text:?}");
    assert_eq!(backend.accepted(), 1, "the backend's connection is used again");
}

#[test]
fn the_client_is_asked_for_its_body_when_the_backend_takes_it() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let mut stream = connect(port.address());
    stream.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\nconnection: close\r\n\r\n").unwrap();
    assert_eq!(read_head(&mut stream).unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    let answer = rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("expect"), "{answer}");

    // Who is refused is not asked.
    let mut stream = connect(port.address());
    stream
        .write_all(b"PUT /../x HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        .unwrap();
    let answer = rest(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("connection: close\r\n"), "{answer}");
}

#[test]
fn http_1_0_is_served_with_a_host_and_gets_no_chunks() {
    let backend =
        Script::always(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
    let (_proxy, port) = before(backend.address);
    let mut stream = connect(port.address());
    stream.write_all(b"GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n").unwrap();
    let answer = rest(&mut stream);
    assert!(answer.ends_with("\r\n\r\nabc") && !answer.contains("chunked"), "{answer}");
    assert_eq!(statuses(port.address(), b"GET / HTTP/1.0\r\n\r\n"), [400]);
}

#[test]
fn head_and_bodiless_statuses_have_no_body() {
    let backend = Script::start(|mut stream, _| {
        while let Some(head) = read_head(&mut stream) {
            let answer: &[u8] = match head.split(' ').nth(1).unwrap() {
                "/204" => b"HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: \"x\"\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
            };
            stream.write_all(answer).unwrap();
        }
    });
    let (_proxy, port) = before(backend.address);
    let mut stream = connect(port.address());
    stream.write_all(b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\nGET /204 HTTP/1.1\r\nhost: a\r\n\r\nGET /304 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-length: 7\r\n"), "{head}");
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 204 ") && !head.contains("content-length"), "{head}");
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 304 ") && head.contains("etag"), "{head}");
    assert_eq!(rest(&mut stream), "");
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn what_two_parsers_could_read_differently_reaches_no_backend() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
    for (status, head) in [
        (
            400,
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (400, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 35\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0, 35\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +0\r\n\r\n"),
        (400, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length : 35\r\n\r\n"),
        (501, "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\n"),
        (400, "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, "GET / HTTP/1.1\nhost: a\n\n"),
        (400, "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n 2\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n"),
        (400, "GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n"),
        (400, "GET  / HTTP/1.1\r\nhost: a\r\n\r\n"),
        (505, "GET / HTTP/2.0\r\nhost: a\r\n\r\n"),
    ] {
        let bytes = format!("{head}{smuggled}");
        assert_eq!(statuses(port.address(), bytes.as_bytes()), [status], "{head:?}");
    }
    assert_eq!(echo.answered(), 0);
}

#[test]
fn a_chunk_that_lies_ends_the_connection() {
    let backend = Script::start(|mut stream, _| {
        if read_head(&mut stream).is_some() {
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let (_proxy, port) = before(backend.address);
    for chunk in [
        "5\r\nhelloX\r\n0\r\n\r\n",
        "zz\r\n",
        "fffffffffffffffff\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n",
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
        assert_eq!(statuses(port.address(), bytes.as_bytes()), [400], "{chunk:?}");
    }
}

#[test]
fn a_head_that_is_too_large_is_answered() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let field = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(64 << 10));
    assert_eq!(statuses(port.address(), field.as_bytes()), [431]);
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: 1\r\n".repeat(200));
    assert_eq!(statuses(port.address(), many.as_bytes()), [431]);
    let target = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(64 << 10));
    assert_eq!(statuses(port.address(), target.as_bytes()), [414]);
}

#[test]
fn a_websocket_is_a_tunnel_and_each_side_may_end_first() {
    let backend = Script::start(|mut stream, _| {
        let head = read_head(&mut stream).unwrap();
        assert!(
            head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"),
            "{head}"
        );
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nearly").unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let (_proxy, port) = before(backend.address);
    let mut stream = connect(port.address());
    let upgrade = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-key: x\r\n\r\n";
    stream.write_all(upgrade.replace("WebSocket", "websocket").as_bytes()).unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("upgrade: websocket\r\n"), "{head}");
    assert!(
        head.contains("connection: upgrade\r\n") && head.contains("sec-websocket-accept: x\r\n"),
        "{head}"
    );
    assert_eq!(read_exactly(&mut stream, 5), b"early");
    stream.write_all(b"ping").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stream), "ping");
}

#[test]
fn no_other_upgrade_is_passed_on() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let fields =
        ["connection: upgrade, http2-settings", "upgrade: h2c", "http2-settings: AAMAAABkAARAAAAAAAIAAAAA"];
    let answer = ask(port.address(), "GET", "/", "a", &fields);
    for gone in ["upgrade", "connection", "http2-settings"] {
        assert_eq!(answer.sent(gone), None, "{gone}");
    }
}

#[test]
fn a_client_that_goes_away_takes_its_request_along() {
    let (told, hear) = std::sync::mpsc::channel();
    let backend = Script::start(move |mut stream, _| {
        read_head(&mut stream).unwrap();
        told.send("asked").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        told.send("gone").unwrap();
    });
    let (_proxy, port) = before(backend.address);
    // By a reset, and by closing, which is only sure to be no half-close once a moment has passed.
    for linger in [Some(std::time::Duration::ZERO), None] {
        let mut stream = connect(port.address());
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        assert_eq!(hear.recv_timeout(PATIENCE), Ok("asked"));
        socket2::SockRef::from(&stream).set_linger(linger).unwrap();
        drop(stream);
        assert_eq!(hear.recv_timeout(PATIENCE), Ok("gone"));
    }
}

#[test]
fn a_client_that_only_ends_its_own_side_is_answered() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let mut stream = connect(port.address());
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut stream).matches("HTTP/1.1 200 ").count(), 2);
}
