//! PROXY headers on the wire: both versions, split, malformed, of senders that are not trusted, optional.

use std::{io::Write, net::Ipv6Addr};

use e2e::{
    dial,
    http::Connection,
    netns::{GATEWAY, GATEWAY6},
    wait,
};

use crate::cafe::{Cafe, PORT, appliance, policy};

/// With user space alone, and with the kernel reading what it can.
const KERNELS: [&str; 3] =
    ["{mode: Off}", "{mode: Require, interfaces: [gw0]}", "{mode: Require, interfaces: [gw0], tiers: [TC]}"];

fn open(optional: bool) -> Option<Cafe> {
    open_with(KERNELS[0], optional)
}

/// One after the other, each way.
fn each(optional: bool) -> impl Iterator<Item = Cafe> {
    KERNELS.iter().map_while(move |kernel| open_with(kernel, optional))
}

fn open_with(kernel: &str, optional: bool) -> Option<Cafe> {
    let policy = policy(&format!("  proxyProtocol: {{optional: {optional}}}\n"));
    Cafe::open(&[("appliance.yaml", appliance(kernel)), ("proxy.yaml", policy)], &[])
}

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.100 56324 8080\r\n";

/// A version 2 header: command, family and protocol, block.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a short block");
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length.to_be_bytes(), block].concat()
}

/// From `source`, port 56324, to the gateway, over IPv4.
fn v4(source: [u8; 4]) -> Vec<u8> {
    let ports = [56324u16.to_be_bytes(), PORT.to_be_bytes()].concat();
    [&source[..], &[198, 51, 100, 100], &ports].concat()
}

/// As [`v4`], over IPv6.
fn v6(source: &str) -> Vec<u8> {
    let octets = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
    let ports = [56324u16.to_be_bytes(), PORT.to_be_bytes()].concat();
    [&octets(source)[..], &octets(GATEWAY6), &ports].concat()
}

/// From 203.0.113.9, with two bytes of padding, then this checksum.
fn with_checksum(checksum: u32) -> Vec<u8> {
    let tlvs = [&b"\x04\0\x02..\x03\0\x04"[..], &checksum.to_be_bytes()].concat();
    v2(0x21, 0x11, &[v4([203, 0, 113, 9]), tlvs].concat())
}

/// What belongs in [`with_checksum`], by another implementation than ours.
const CHECKSUM: u32 = 0xc002_e53b;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: cafe.example.com\r\n\r\n";

/// What the backend saw as X-Forwarded-For, or `None` if the connection was closed without an answer.
fn forwarded_for(cafe: &Cafe, pieces: &[&[u8]]) -> Option<String> {
    let mut connection = cafe.connect().expect("the gateway listens");
    for piece in pieces {
        connection.send(piece).ok()?;
    }
    seen(&mut connection)
}

/// Waits until so many connections were refused for a reason: a client sees the close before it is counted.
fn counted(cafe: &Cafe, reason: &str, count: f64) {
    let label = format!("reason=\"{reason}\"");
    wait::until(&format!("{count} refusals with {label}"), || {
        (cafe.metric("gateway_connections_refused_total", &[&label]) == count).then_some(())
    });
}

fn seen(connection: &mut Connection) -> Option<String> {
    let body = connection.response().ok()?.body;
    let (_, rest) = body.split_once("\"x-forwarded-for\": \"")?;
    Some(rest.split('"').next().unwrap_or_default().to_owned())
}

#[test]
fn the_source_of_a_header_reaches_the_backend() {
    for cafe in each(false) {
        let tlvs = b"\x02\0\x10cafe.example.com\xee\0\0";
        let table: [(&[u8], &str); 8] = [
            (V1, "203.0.113.7"),
            (b"PROXY TCP6 2001:db8:2::7 2001:db8:1::100 56324 8080\r\n", "2001:db8:2::7"),
            (b"PROXY TCP6 ::ffff:203.0.113.10 ::ffff:198.51.100.100 56324 8080\r\n", "203.0.113.10"),
            (&v2(0x21, 0x11, &v4([203, 0, 113, 8])), "203.0.113.8"),
            (&v2(0x21, 0x11, &[&v4([203, 0, 113, 11])[..], tlvs].concat()), "203.0.113.11"),
            (&v2(0x21, 0x21, &v6("2001:db8:2::8")), "2001:db8:2::8"),
            (&v2(0x21, 0x21, &v6("::ffff:203.0.113.12")), "203.0.113.12"),
            (&with_checksum(CHECKSUM), "203.0.113.9"),
        ];
        for (header, source) in table {
            let text = header.escape_ascii();
            assert_eq!(forwarded_for(&cafe, &[header, REQUEST]).as_deref(), Some(source), "{text}");
            let whole = [header, REQUEST].concat();
            assert_eq!(forwarded_for(&cafe, &[&whole]).as_deref(), Some(source), "{text}");
        }
        wait::until("the access log names the source", || {
            cafe.gateway.log().contains(" 203.0.113.8 ").then_some(())
        });
    }
}

#[test]
fn a_header_may_come_in_any_segments() {
    for cafe in each(false) {
        let headers = [V1.to_vec(), v2(0x21, 0x21, &v6("2001:db8:2::8")), with_checksum(CHECKSUM)];
        for (header, source) in headers.iter().zip(["203.0.113.7", "2001:db8:2::8", "203.0.113.9"]) {
            let bytes: Vec<&[u8]> = header.chunks(1).collect();
            assert_eq!(forwarded_for(&cafe, &[&bytes[..], &[REQUEST]].concat()).as_deref(), Some(source));
            for cut in 1..header.len() {
                let rest = [&header[cut..], REQUEST].concat();
                assert_eq!(
                    forwarded_for(&cafe, &[&header[..cut], &rest]).as_deref(),
                    Some(source),
                    "cut at {cut}"
                );
            }
        }
    }
}

#[test]
fn a_header_without_addresses_leaves_those_of_the_socket() {
    for cafe in each(false) {
        let unix = [b'/'; 216];
        let table: [&[u8]; 6] = [
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN 203.0.113.7 198.51.100.100 56324 8080\r\n",
            &v2(0x20, 0x00, &[]),
            &v2(0x20, 0x11, &v4([203, 0, 113, 7])),
            &v2(0x21, 0x00, &[]),
            &v2(0x21, 0x31, &unix),
        ];
        for header in table {
            let source = forwarded_for(&cafe, &[header, REQUEST]);
            assert_eq!(source.as_deref(), Some("198.51.100.1"), "{}", header.escape_ascii());
        }
    }
}

#[test]
fn a_missing_or_malformed_header_closes_the_connection() {
    let Some(cafe) = open(false) else { return };
    let address = v4([203, 0, 113, 7]);
    let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    let bad: [&[u8]; 12] = [
        b"PROXY TCP4 203.0.113.7 198.51.100.100 56324 80 80\r\n",
        b"PROXY TCP4 203.0.113.007 198.51.100.100 56324 8080\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.100 56324 8080\n",
        b"PROXY TCP4 203.0.113.7  198.51.100.100 56324 8080\r\n",
        b"PROXY TCP4 203.0.113.7 198.51.100.100 56324 65536\r\n",
        b"PROXY TCP9 203.0.113.7 198.51.100.100 56324 8080\r\n",
        too_long.as_bytes(),
        &v2(0x31, 0x11, &address),
        &v2(0x21, 0x11, &address[..11]),
        &v2(0x21, 0x11, &[&address[..], b"\x04\0\x02."].concat()),
        &v2(0x21, 0x11, &[0; 5000]),
        &with_checksum(CHECKSUM ^ 1),
    ];
    for header in bad {
        assert_eq!(forwarded_for(&cafe, &[header, REQUEST]), None, "{}", header.escape_ascii());
    }
    counted(&cafe, "proxy_malformed", 12.0);
    assert_eq!(forwarded_for(&cafe, &[REQUEST]), None);
    counted(&cafe, "proxy_missing", 1.0);
}

#[test]
fn an_optional_header_may_be_missing_and_not_malformed() {
    for cafe in each(true) {
        assert_eq!(forwarded_for(&cafe, &[REQUEST]).as_deref(), Some("198.51.100.1"));
        assert_eq!(forwarded_for(&cafe, &[V1, REQUEST]).as_deref(), Some("203.0.113.7"));
        // Its first byte is one of a header's.
        let post = b"POST / HTTP/1.1\r\nhost: cafe.example.com\r\ncontent-length: 0\r\n\r\n";
        let bytes: Vec<&[u8]> = post.chunks(1).collect();
        assert_eq!(forwarded_for(&cafe, &bytes).as_deref(), Some("198.51.100.1"));
        assert_eq!(forwarded_for(&cafe, &[b"PROXY TCP4 nonsense\r\n", REQUEST]), None);
        assert_eq!(forwarded_for(&cafe, &[&with_checksum(CHECKSUM ^ 1), REQUEST]), None);
    }
}

/// 198.51.100.17 is outside the trusted 198.51.100.0/28.
#[test]
fn a_header_of_an_untrusted_sender_closes_the_connection() {
    let Some(cafe) = open(true) else { return };
    let untrusted = || {
        let gateway = format!("{GATEWAY}:{PORT}").parse().expect("an address");
        let from = || dial::from("198.51.100.17", gateway, wait::DEADLINE).expect("the gateway listens");
        Connection::from(cafe.wire.client.run(from))
    };
    let mut plain = untrusted();
    plain.send(REQUEST).expect("sent");
    assert_eq!(seen(&mut plain).as_deref(), Some("198.51.100.17"));
    for header in [V1, &v2(0x21, 0x11, &v4([203, 0, 113, 8])), &v2(0x20, 0x00, &[])] {
        let mut spoofed = untrusted();
        // The gateway may close before all of it is written.
        let _ = spoofed.stream.write_all(header).and_then(|()| spoofed.stream.write_all(REQUEST));
        assert_eq!(seen(&mut spoofed), None, "{}", header.escape_ascii());
    }
    counted(&cafe, "proxy_untrusted", 3.0);
}

/// From a manifest to the backend: a field that the header fills, and that no client can.
#[test]
fn request_headers_are_filled_from_the_header_and_from_nobody_else() {
    let headers = "apiVersion: gateway.internal/v1alpha1
kind: ConnectionPolicy
metadata: {name: tlvs, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  proxyProtocol:
    headers:
    - {name: X-TLS-Client-CN, tlv: SSLCommonName}
    - {name: X-Own, tlv: \"0xEA\"}
";
    let reads = policy("  proxyProtocol: {optional: true}\n");
    let files = [
        ("appliance.yaml", appliance("{mode: Off}")),
        ("proxy.yaml", reads),
        ("tlvs.yaml", headers.to_owned()),
    ];
    let Some(cafe) = Cafe::open(&files, &[]) else { return };
    let request =
        b"GET / HTTP/1.1\r\nhost: cafe.example.com\r\nx-tls-client-cn: spoofed\r\nX-Own: spoofed\r\n\r\n";
    let told = |before: &[u8]| {
        let mut connection = cafe.connect().expect("the gateway listens");
        connection.send(&[before, request].concat()).expect("sent");
        connection.response().expect("answered").body
    };
    let tlvs = b"\x20\0\x0a\x07\0\0\0\0\x22\0\x02me\xea\0\x02\x01v";
    let body = told(&v2(0x21, 0x11, &[&v4([203, 0, 113, 9])[..], tlvs].concat()));
    assert!(body.contains("\"x-tls-client-cn\": \"me\"") && body.contains("\"x-own\": \"0176\""), "{body}");
    let without = v2(0x21, 0x11, &v4([203, 0, 113, 9]));
    for before in [&without, V1, b""] {
        let body = told(before);
        assert!(!body.contains("spoofed") && !body.contains("x-tls-client-cn"), "{body}");
    }
    let broken = b"\x20\0\x09\x07\0\0\0\0\x22\0\x02m";
    let header = v2(0x21, 0x11, &[&v4([203, 0, 113, 9])[..], broken].concat());
    assert_eq!(forwarded_for(&cafe, &[&header, REQUEST]), None);
    counted(&cafe, "proxy_malformed", 1.0);
    wait::until("the access log has what the header says", || {
        cafe.gateway.log().contains(" tlv_ssl_cn=\"me\" ").then_some(())
    });
}
