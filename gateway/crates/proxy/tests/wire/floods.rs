//! What is done to wear an HTTP/2 server out, and what is not.

use ir::ClientSettings;

use crate::{configure::*, frames::*, rules::*, script::*};

/// Everything is answered by ourselves.
fn before() -> (proxy::Proxy, ReservedPort) {
    let mut proxy = start();
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), ir::Action::Respond(418)))])];
    let (port, _) = serve(&mut proxy, ClientSettings::default(), hosts);
    (proxy, port)
}

/// Floods a connection of its own, which must end with a word, and leave others alone.
fn floods(port: &ReservedPort, bytes: &[u8]) {
    let mut other = Raw::connect(port.address(), &[]);
    let raw = Raw::connect(port.address(), &[]);
    assert_eq!(raw.flood(bytes), ENHANCE_YOUR_CALM);
    other.send(HEADERS, END_STREAM | END_HEADERS, 1, &get("/", &[]));
    assert_eq!(other.until(HEADERS).unwrap().stream, 1);
}

#[test]
fn frames_that_move_nothing_end_the_connection() {
    let (_proxy, port) = before();
    floods(&port, &frame(PING, 0, 0, &[0; 8]));
    floods(&port, &frame(SETTINGS, 0, 0, &[]));
    floods(&port, &frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).repeat(3));
    floods(&port, &frame(2, 0, 1, &[0, 0, 0, 0, 16]));
    floods(&port, &frame(0xfe, 0, 0, &[]));
}

#[test]
fn empty_data_ends_the_connection() {
    let (_proxy, port) = before();
    let backend = Script::start(|mut stream, _| {
        let _ = std::io::Read::read_to_end(&mut stream, &mut Vec::new());
    });
    let mut proxy = start();
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), to(backend.address)))])];
    let (held, _) = serve(&mut proxy, ClientSettings::default(), hosts);
    for port in [&held, &port] {
        let mut raw = Raw::connect(port.address(), &[]);
        raw.send(HEADERS, END_HEADERS, 1, &get("/", &[]));
        assert_eq!(raw.flood(&frame(DATA, 0, 1, &[])), ENHANCE_YOUR_CALM);
    }
}

/// CVE-2023-44487: streams that are reset as soon as they are opened.
#[test]
fn streams_that_are_opened_and_reset_end_the_connection() {
    let (_proxy, port) = before();
    let mut bytes = Vec::new();
    for stream in (1..=2001).step_by(2) {
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &get("/", &[])));
        bytes.extend(frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
    }
    floods(&port, &bytes);
    // One by one, each is served before it is reset.
    let mut raw = Raw::connect(port.address(), &[]);
    let mut stream = 1;
    let said = loop {
        raw.send(HEADERS, END_STREAM | END_HEADERS, stream, &get("/", &[]));
        match std::iter::from_fn(|| raw.next()).find(|frame| [HEADERS, GOAWAY].contains(&frame.kind)) {
            Some(frame) if frame.kind == HEADERS => {}
            said => break said,
        }
        let _ = std::io::Write::write_all(&mut raw.0, &frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes()));
        stream += 2;
    };
    assert_eq!(said.unwrap().code(), ENHANCE_YOUR_CALM);
    assert_eq!(stream.div_ceil(2), 202, "two hundred are not too many");
}

/// CVE-2025-8671: streams that the server is made to reset.
#[test]
fn streams_that_are_malformed_again_and_again_end_the_connection() {
    let (_proxy, port) = before();
    let mut bytes = Vec::new();
    for stream in (1..=2001).step_by(2) {
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &get("/", &[("te", "gzip")])));
    }
    floods(&port, &bytes);
}

/// CVE-2024-27316: a header block without an end.
#[test]
fn a_header_block_without_an_end_ends_the_connection() {
    let (_proxy, port) = before();
    let mut bytes = frame(HEADERS, 0, 1, &get("/", &[]));
    let more = block(&[("x", "1")]).repeat(100);
    bytes.extend(frame(CONTINUATION, 0, 1, &more).repeat(10_000));
    floods(&port, &bytes);
    let mut bytes = frame(HEADERS, 0, 1, &[]);
    bytes.extend(frame(CONTINUATION, 0, 1, &[]).repeat(10_000));
    floods(&port, &bytes);
}

/// There are clients that send a WINDOW_UPDATE for every few kilobytes that they read.
#[test]
fn a_client_that_reads_much_may_say_so_often() {
    let backend = Script::start(|mut stream, _| {
        read_head(&mut stream);
        use std::io::Write;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 20000000\r\n\r\n").unwrap();
        stream.write_all(&vec![b'x'; 20_000_000]).unwrap();
    });
    let mut proxy = start();
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), to(backend.address)))])];
    let (port, _) = serve(&mut proxy, ClientSettings::default(), hosts);
    let mut raw = Raw::connect(port.address(), &[]);
    raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &get("/", &[]));
    let (mut read, mut updates) = (0, 0);
    loop {
        let frame = raw.next().unwrap();
        assert_ne!(frame.kind, GOAWAY);
        if frame.kind != DATA {
            continue;
        }
        read += frame.payload.len();
        if frame.flags & END_STREAM != 0 {
            break;
        }
        for piece in frame.payload.chunks(4 << 10) {
            for stream in [0, 1] {
                raw.send(WINDOW_UPDATE, 0, stream, &u32::try_from(piece.len()).unwrap().to_be_bytes());
                updates += 1;
            }
        }
    }
    assert_eq!(read, 20_000_000);
    assert!(updates > 5_000, "{updates}");
}
