//! Timers of the client's side: what is said when one ends, and what does not reset it.

use std::{
    io::{Read, Write},
    time::Duration,
};

use ir::{ClientSettings, ClientTimeouts};

use crate::{configure::*, rules::*, script::*};

const SHORT: Option<Duration> = Some(Duration::from_millis(100));

fn with(timeouts: ClientTimeouts, backend: &Script) -> (proxy::Proxy, ReservedPort) {
    let mut proxy = start();
    let client = ClientSettings { timeouts, ..ClientSettings::default() };
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), to(backend.address)))])];
    let (port, _) = serve(&mut proxy, client, hosts);
    (proxy, port)
}

/// Reads requests and answers none.
fn silent() -> Script {
    Script::start(|mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

fn answer_to(port: &ReservedPort, bytes: &[u8]) -> String {
    let mut stream = connect(port.address());
    stream.write_all(bytes).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_request_that_does_not_come_in_time_is_408() {
    let backend = silent();
    let header = b"GET / HTTP/1.1\r\nhost: a\r\nx-slow: ";
    let body = b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello";
    for timeouts in [
        ClientTimeouts { request_received: SHORT, ..ClientTimeouts::default() },
        ClientTimeouts { headers_received: SHORT, ..ClientTimeouts::default() },
        ClientTimeouts { stream_idle: SHORT, ..ClientTimeouts::default() },
    ] {
        let (_proxy, port) = with(timeouts.clone(), &backend);
        assert!(answer_to(&port, header).starts_with("HTTP/1.1 408 "), "{timeouts:?}");
        if timeouts.headers_received.is_none() {
            assert!(answer_to(&port, body).starts_with("HTTP/1.1 408 "), "{timeouts:?}");
        }
    }
}

#[test]
fn an_idle_connection_is_closed_and_line_ends_do_not_keep_it_open() {
    let backend = Script::always(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let (_proxy, port) = with(ClientTimeouts { idle: SHORT, ..ClientTimeouts::default() }, &backend);
    assert_eq!(answer_to(&port, b""), "");
    assert_eq!(answer_to(&port, b"\r\n"), "");
    let answer = answer_to(&port, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("connection: close"), "{answer}");
}

#[test]
fn a_backend_that_says_nothing_is_504_and_one_that_falls_silent_is_a_reset() {
    let timeouts = ClientTimeouts { stream_idle: SHORT, ..ClientTimeouts::default() };
    let (_proxy, port) = with(timeouts.clone(), &silent());
    assert!(
        answer_to(&port, b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .starts_with("HTTP/1.1 504 ")
    );

    let begins = Script::start(|mut stream, _| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let (_proxy, port) = with(timeouts, &begins);
    let mut stream = connect(port.address());
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert!(read_head(&mut stream).unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!(read_exactly(&mut stream, 5), b"hello");
    assert!(is_reset(&mut stream));
}

#[test]
fn a_client_that_reads_nothing_loses_its_response() {
    let backend = Script::start(|mut stream, _| {
        read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n");
        let _ = stream.write_all(&vec![b'x'; 100_000_000]);
    });
    let timeouts = ClientTimeouts { stream_idle: SHORT, ..ClientTimeouts::default() };
    let (proxy, port) = with(timeouts, &backend);
    let mut stream = connect(port.address());
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    eventually("it is past accept", || proxy.open_connections() == 1);
    eventually("it was given up", || proxy.open_connections() == 0);
}
