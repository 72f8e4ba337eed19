//! PROXY headers before the first request: who is believed, what is refused, and why it says so.

use std::{
    io::{Read, Write},
    net::Shutdown,
    sync::mpsc::{Receiver, channel},
};

use ebpf_common::proxy_protocol::crc32c::Crc32c;
use ir::{AccessLogFormat, ClientSettings, ProxyProtocol};
use proxy::{Options, Proxy, access_log::Sink};
use serde_json::Value;

use crate::{backend::*, configure::*, rules::*};

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 56324 443\r\n";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";

/// A listener that reads PROXY headers, and what it logs.
struct Served {
    proxy: Proxy,
    port: ReservedPort,
    lines: Receiver<String>,
    _echo: Echo,
}

impl Served {
    /// `senders`: the network whose headers are believed.
    fn new(optional: bool, senders: &str) -> Self {
        let echo = Echo::start("echo");
        let (sender, lines) = channel();
        let options = Options { workers: Some(1), access_log: Sink::Channel(sender), ..Options::default() };
        let mut proxy = start_with(options);
        let port = ReservedPort::new();
        let client =
            ClientSettings { proxy_protocol: Some(ProxyProtocol { optional }), ..ClientSettings::default() };
        let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), to(echo.address)))])];
        let mut config = gateway(vec![bind(port.key(), client, hosts)]);
        config.appliance.log_format = AccessLogFormat::Json;
        config.appliance.trusted_proxy_senders = vec![senders.parse().unwrap()];
        publish(&mut proxy, config);
        Self { proxy, port, lines, _echo: echo }
    }

    /// Sends pieces on a connection of their own, and gives back its answer and its line in the log.
    fn send(&self, pieces: &[&[u8]]) -> (String, Value) {
        let mut stream = connect(self.port.address());
        stream.set_nodelay(true).unwrap();
        for piece in pieces {
            // A refused connection may be gone before all of it is sent.
            let _ = stream.write_all(piece);
        }
        let mut answer = Vec::new();
        // A reset is as good an end as any where bytes were left unread.
        let _ = stream.read_to_end(&mut answer);
        let line = self.lines.recv_timeout(PATIENCE).unwrap();
        (String::from_utf8(answer).unwrap(), serde_json::from_str(&line).unwrap())
    }

    /// The client of a request after these bytes, by the backend and by the log.
    fn client(&self, pieces: &[&[u8]]) -> String {
        let (answer, line) = self.send(pieces);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer} {line}");
        let seen = answer.lines().find_map(|line| line.strip_prefix("x-forwarded-for: "));
        assert_eq!(seen, line["client"].as_str(), "{answer} {line}");
        seen.unwrap().to_owned()
    }

    /// Why a connection that begins with these bytes is closed.
    fn refusal(&self, bytes: &[u8]) -> String {
        let (answer, line) = self.send(&[bytes, REQUEST]);
        assert_eq!(answer, "", "{}", bytes.escape_ascii());
        line["refused"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
    }
}

/// A version 2 header over IPv4 from 203.0.113.8, with padding and a checksum.
fn v2() -> Vec<u8> {
    let mut header =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x18\xcb\0\x71\x08\xc6\x33\x64\x01\xdc\x04\x01\xbb".to_vec();
    header.extend(b"\x04\0\x02..\x03\0\x04\0\0\0\0");
    let mut crc = Crc32c::new();
    header.iter().for_each(|byte| crc.push(*byte));
    let at = header.len() - 4;
    header[at..].copy_from_slice(&crc.value().to_be_bytes());
    header
}

#[test]
fn headers_of_both_versions_name_the_client_wherever_they_are_cut() {
    for optional in [false, true] {
        let served = Served::new(optional, "127.0.0.0/8");
        for (header, client) in [(V1.to_vec(), "203.0.113.7"), (v2(), "203.0.113.8")] {
            let bytes = [&header, REQUEST].concat();
            assert_eq!(served.client(&[&bytes]), client);
            for cut in 1..=header.len() + 1 {
                assert_eq!(served.client(&[&bytes[..cut], &bytes[cut..]]), client, "cut at {cut}");
            }
        }
    }
}

#[test]
fn headers_without_addresses_leave_the_sockets() {
    let served = Served::new(false, "127.0.0.0/8");
    for header in
        [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"]
    {
        assert_eq!(served.client(&[header, REQUEST]), "127.0.0.1", "{}", header.escape_ascii());
    }
}

#[test]
fn what_is_malformed_is_refused_and_so_is_a_required_header_that_is_missing() {
    let mut checksum = v2();
    checksum[16] ^= 1;
    for optional in [false, true] {
        let served = Served::new(optional, "127.0.0.0/8");
        for bytes in [&b"PROXY TCP4 203.0.113.07 198.51.100.1 1 2\r\n"[..], b"PROXY UNKNOWN\n", &checksum] {
            assert_eq!(served.refusal(bytes), "proxy_malformed", "{}", bytes.escape_ascii());
        }
        if optional {
            assert_eq!(served.client(&[REQUEST]), "127.0.0.1");
            assert_eq!(served.client(&[&REQUEST[..1], &REQUEST[1..]]), "127.0.0.1");
        } else {
            assert_eq!(served.refusal(b""), "proxy_missing");
        }
    }
}

#[test]
fn a_header_of_an_untrusted_sender_is_refused_whatever_it_says() {
    for optional in [false, true] {
        let served = Served::new(optional, "192.0.2.0/24");
        for header in [V1, &v2(), b"PROXY UNKNOWN\r\n", b"PROXY nonsense"] {
            assert_eq!(served.refusal(header), "proxy_untrusted", "{}", header.escape_ascii());
        }
    }
    assert_eq!(Served::new(true, "192.0.2.0/24").client(&[REQUEST]), "127.0.0.1");
}

#[test]
fn a_client_that_closes_within_a_header_has_aborted_and_one_before_it_is_no_news() {
    let served = Served::new(false, "127.0.0.0/8");
    for begun in [&b""[..], &V1[..20]] {
        let mut stream = connect(served.port.address());
        stream.write_all(begun).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed in order");
    }
    assert!(served.proxy.drain(PATIENCE));
    let line: Value = serde_json::from_str(&served.lines.recv().unwrap()).unwrap();
    assert_eq!(line["refused"], "aborted", "{line}");
    assert!(served.lines.recv().is_err(), "a line too many");
}
