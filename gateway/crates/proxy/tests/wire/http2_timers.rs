//! Timers of HTTP/2 connections and streams.

use std::{
    io::{ErrorKind, Read, Write},
    time::Duration,
};

use bytes::Bytes;
use h2::Reason;
use ir::{ClientSettings, ClientTimeouts};

use crate::{
    client::{Answer, Client, to},
    configure::*,
    frames::*,
    rules::{self, *},
    script::*,
};

const SHORT: Option<Duration> = Some(Duration::from_millis(100));
const NO_ERROR: u32 = 0;
const INITIAL_WINDOW: u16 = 4;

fn with(timeouts: ClientTimeouts, backend: &Script) -> (proxy::Proxy, ReservedPort) {
    let mut proxy = start();
    let client = ClientSettings { timeouts, ..ClientSettings::default() };
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), rules::to(backend.address)))])];
    let (port, _) = serve(&mut proxy, client, hosts);
    (proxy, port)
}

/// Reads requests and answers none.
fn silent() -> Script {
    Script::start(|mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new());
    })
}

/// Answers with so many bytes.
fn answering(length: usize) -> Script {
    Script::start(move |mut stream, _| {
        while read_head(&mut stream).is_some() {
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(&vec![b'x'; length]);
        }
    })
}

#[test]
fn an_idle_connection_says_goodbye_and_pings_do_not_keep_it_open() {
    let backend = silent();
    let (proxy, port) = with(ClientTimeouts { idle: SHORT, ..ClientTimeouts::default() }, &backend);
    let mut raw = Raw::connect(port.address(), &[]);
    let mut pings = 0;
    loop {
        raw.0.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let heard = raw.0.peek(&mut [0]);
        raw.0.set_read_timeout(Some(PATIENCE)).unwrap();
        match heard {
            Err(error) => {
                assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()), "{error}");
                pings += 1;
                assert!(pings < 500, "pings keep the connection open");
                raw.send(PING, 0, 0, &[1; 8]);
            }
            Ok(_) => match raw.next() {
                Some(frame) if frame.kind == GOAWAY => {
                    assert_eq!(frame.code(), NO_ERROR);
                    break;
                }
                Some(_) => {}
                None => panic!("no goodbye"),
            },
        }
    }
    drop(raw);
    eventually("it is closed", || proxy.open_connections() == 0);
}

#[test]
fn a_header_that_is_not_completed_ends_the_connection() {
    let backend = silent();
    for timeouts in [
        ClientTimeouts { headers_received: SHORT, ..ClientTimeouts::default() },
        ClientTimeouts { request_received: SHORT, ..ClientTimeouts::default() },
        ClientTimeouts { stream_idle: SHORT, ..ClientTimeouts::default() },
    ] {
        let (_proxy, port) = with(timeouts, &backend);
        let mut raw = Raw::connect(port.address(), &[]);
        raw.send(HEADERS, END_STREAM, 1, &get("/", &[]));
        let said = raw.until(GOAWAY).unwrap();
        assert_eq!(said.code(), NO_ERROR);
        assert_eq!(raw.next(), None);
    }
    assert_eq!(backend.accepted(), 0);
}

#[tokio::test]
async fn a_request_that_does_not_come_in_time_is_408_and_ends_the_connection() {
    let backend = silent();
    for timeouts in [
        ClientTimeouts { request_received: SHORT, ..ClientTimeouts::default() },
        ClientTimeouts { stream_idle: SHORT, ..ClientTimeouts::default() },
    ] {
        let (_proxy, port) = with(timeouts, &backend);
        let mut client = Client::connect(port.address()).await;
        let (response, mut sender) = client.send(to("/").method("PUT"), false).await;
        sender.send_data(Bytes::from_static(b"some"), false).unwrap();
        let answer = Answer::of(response.await.unwrap()).await.unwrap();
        assert_eq!((answer.status(), answer.field("content-type")), (408, Some("text/plain")));
        drop((sender, client.sender));
        client.ended.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_backend_that_says_nothing_is_504_and_one_that_falls_silent_is_a_reset() {
    let timeouts = ClientTimeouts { stream_idle: SHORT, ..ClientTimeouts::default() };
    let backend = silent();
    let (_proxy, port) = with(timeouts.clone(), &backend);
    let mut client = Client::connect(port.address()).await;
    assert_eq!(client.get("/").await.unwrap().status(), 504);
    client.ended.await.unwrap().unwrap();

    let begins = Script::start(|mut stream, _| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let (_proxy, port) = with(timeouts, &begins);
    let mut client = Client::connect(port.address()).await;
    let (response, _sender) = client.send(to("/"), true).await;
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    assert_eq!(body.data().await.unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
    client.ended.await.unwrap().unwrap();
}

#[test]
fn a_client_that_takes_nothing_loses_its_stream() {
    let backend = answering(1_000_000);
    let timeouts = ClientTimeouts { stream_idle: SHORT, ..ClientTimeouts::default() };
    let (_proxy, port) = with(timeouts, &backend);
    for window in [0, 1_000, 65_535] {
        let mut raw = Raw::connect(port.address(), &[(INITIAL_WINDOW, window)]);
        raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &get("/", &[]));
        let mut read = 0;
        let reset = loop {
            match raw.next().unwrap() {
                frame if frame.kind == DATA => read += frame.payload.len(),
                frame if frame.kind == RST_STREAM => break frame,
                _ => {}
            }
        };
        assert_eq!((reset.stream, reset.code(), read), (1, CANCEL, window as usize));
        assert_eq!(raw.until(GOAWAY).unwrap().code(), NO_ERROR);
    }
}

/// hyper holds the end of a response and has no more to ask of us: its stream can be ended no more, the connection can.
#[test]
fn a_client_that_leaves_the_end_of_a_response_loses_its_connection() {
    let backend = answering(1_000);
    let timeouts = ClientTimeouts { stream_idle: SHORT, ..ClientTimeouts::default() };
    let (proxy, port) = with(timeouts, &backend);
    let mut raw = Raw::connect(port.address(), &[(INITIAL_WINDOW, 10)]);
    raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &get("/", &[]));
    assert_eq!(raw.until(DATA).unwrap().payload.len(), 10);
    assert_eq!(std::iter::from_fn(|| raw.next()).find(|frame| frame.stream == 1), None);
    eventually("it is closed", || proxy.open_connections() == 0);
}
