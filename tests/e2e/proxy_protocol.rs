//! PROXY headers on the wire: both versions, split, malformed, of senders that are not trusted, optional.

use std::io::Write;

use e2e::{http::Connection, netns::GATEWAY};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket,
};

use crate::cafe::{Cafe, PORT, appliance, policy};

fn open(optional: bool) -> Option<Cafe> {
    let policy = policy(&format!("  proxyProtocol: {{optional: {optional}}}\n"));
    Cafe::open(&[("appliance.yaml", appliance("{mode: Off}")), ("proxy.yaml", policy)], &[])
}

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.100 56324 8080\r\n";

fn v2(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    header.extend(12u16.to_be_bytes());
    header.extend(source);
    header.extend([198, 51, 100, 100]);
    header.extend(56324u16.to_be_bytes());
    header.extend(PORT.to_be_bytes());
    header
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: cafe.example.com\r\n\r\n";

/// What the backend saw as X-Forwarded-For, or `None` if the connection was closed without an answer.
fn forwarded_for(cafe: &Cafe, pieces: &[&[u8]]) -> Option<String> {
    let mut connection = cafe.connect().expect("the gateway listens");
    for piece in pieces {
        connection.send(piece).ok()?;
    }
    seen(&mut connection)
}

fn seen(connection: &mut Connection) -> Option<String> {
    let body = connection.response().ok()?.body;
    let (_, rest) = body.split_once("\"x-forwarded-for\": \"")?;
    Some(rest.split('"').next().unwrap_or_default().to_owned())
}

#[test]
fn the_source_of_a_header_reaches_the_backend() {
    let Some(cafe) = open(false) else { return };
    assert_eq!(forwarded_for(&cafe, &[V1, REQUEST]).as_deref(), Some("203.0.113.7"));
    assert_eq!(forwarded_for(&cafe, &[&v2([203, 0, 113, 8]), REQUEST]).as_deref(), Some("203.0.113.8"));
    let bytes: Vec<&[u8]> = V1.chunks(1).collect();
    assert_eq!(forwarded_for(&cafe, &[&bytes[..], &[REQUEST]].concat()).as_deref(), Some("203.0.113.7"));
    let log = cafe.gateway.log();
    assert!(log.contains("203.0.113.8"), "the access log names the source: {log}");
}

#[test]
fn a_missing_or_malformed_header_closes_the_connection() {
    let Some(cafe) = open(false) else { return };
    let bad: [&[u8]; 6] = [
        b"",
        b"PROXY TCP4 203.0.113.7 198.51.100.100 56324 80 80\r\n",
        b"PROXY TCP4 203.0.113.007 198.51.100.100 56324 8080\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.100 56324 8080\n",
        b"PROXY TCP9 203.0.113.7 198.51.100.100 56324 8080\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c............",
    ];
    for header in bad {
        assert_eq!(forwarded_for(&cafe, &[header, REQUEST]), None, "{}", header.escape_ascii());
    }
    assert!(cafe.metric("gateway_connections_refused_total", &["reason=\"proxy_"]) >= 6.0);
}

#[test]
fn an_optional_header_may_be_missing_and_not_malformed() {
    let Some(cafe) = open(true) else { return };
    assert_eq!(forwarded_for(&cafe, &[REQUEST]).as_deref(), Some("198.51.100.1"));
    assert_eq!(forwarded_for(&cafe, &[V1, REQUEST]).as_deref(), Some("203.0.113.7"));
    assert_eq!(forwarded_for(&cafe, &[b"PROXY TCP4 nonsense\r\n", REQUEST]), None);
}

/// 198.51.100.17 is outside the trusted 198.51.100.0/28.
#[test]
fn a_header_of_an_untrusted_sender_closes_the_connection() {
    let Some(cafe) = open(true) else { return };
    let untrusted = || {
        cafe.wire.client.run(|| {
            let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::empty(), None).expect("a socket");
            use std::os::fd::AsRawFd;
            bind(socket.as_raw_fd(), &SockaddrIn::new(198, 51, 100, 17, 0)).expect("an address of the client");
            let gateway: std::net::Ipv4Addr = GATEWAY.parse().expect("an address");
            let [a, b, c, d] = gateway.octets();
            connect(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, PORT)).expect("the gateway listens");
            Connection::from(std::net::TcpStream::from(socket))
        })
    };
    let mut plain = untrusted();
    plain.send(REQUEST).expect("sent");
    assert_eq!(seen(&mut plain).as_deref(), Some("198.51.100.17"));
    let mut spoofed = untrusted();
    // The gateway may close before all of it is written.
    let _ = spoofed.stream.write_all(V1).and_then(|()| spoofed.stream.write_all(REQUEST));
    assert_eq!(seen(&mut spoofed), None);
    assert!(cafe.metric("gateway_connections_refused_total", &["reason=\"proxy_untrusted\""]) >= 1.0);
}
