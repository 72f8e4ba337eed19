//! PROXY headers read in the kernel, on a wire, by each hook and in both families: what is noted for user space, and
//! whose connections are ended.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

use bpf::{Header, Hook, Kernel, Limit, Limits, Networks, Policy, Proxied, QuotaId, Sources};
use e2e::{
    dial,
    netns::{GATEWAY, GATEWAY6},
    wait,
};

use crate::site::{BOTH, Site, at, connect_from};

const HOOKS: [Hook; 3] = [Hook::Xdp, Hook::Tc, Hook::Clsact];
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn senders() -> Arc<Networks> {
    let of = |text: &str, bits: u8| (text.parse::<IpAddr>().expect("an address"), bits);
    Arc::new(Networks::of_senders(&[of("198.51.100.0", 28), of("2001:db8:1::", 64)]))
}

fn reading(policy: Policy) -> Limits {
    let proxied = Some(Proxied { senders: senders(), optional: true, policy: Arc::new(policy) });
    let limit = |address: &&str| {
        (at(address), Limit { quota: QuotaId::of("all"), most: None, policy: None, proxied: proxied.clone() })
    };
    BOTH.iter().map(limit).collect()
}

struct Listening {
    site: Site,
    kernel: Kernel,
    listeners: [TcpListener; 2],
}

/// Both ends of a connection.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Listening {
    fn open(hook: Hook, policy: Policy) -> Option<Self> {
        let site = Site::open()?;
        let mut kernel = site.start(&[hook]).expect("the kernel half works here");
        let limits = reading(policy);
        kernel.tighten(&limits).expect("rows are added");
        kernel.loosen(&limits).expect("networks that no row refers to are removed");
        let listeners = BOTH.map(|address| site.backlog(address));
        Some(Self { site, kernel, listeners })
    }

    fn pair(&self, from: &str) -> Pair {
        let v6 = from.contains(':');
        let to = if v6 { GATEWAY6 } else { GATEWAY };
        let client =
            self.site.wire.client.run(|| connect_from(from, to, wait::DEADLINE)).expect("there is room");
        client.set_nodelay(true).expect("TCP");
        let (server, _) = self.listeners[usize::from(v6)].accept().expect("it was connected");
        server.set_read_timeout(Some(wait::DEADLINE)).expect("a socket");
        Pair { client, server }
    }

    /// What is noted of a connection once its first byte has come.
    fn noted(&self, pair: &mut Pair) -> Option<Header> {
        let mut byte = [0];
        assert_eq!(pair.server.peek(&mut byte).expect("something came"), 1);
        self.noted_of(pair)
    }

    fn noted_of(&self, pair: &Pair) -> Option<Header> {
        let (peer, local) = (pair.client.local_addr().expect("one"), pair.client.peer_addr().expect("one"));
        self.sources().header(peer, local)
    }

    fn sources(&self) -> &Sources {
        self.kernel.sources().expect("headers are read")
    }

    fn refused(&self, reason: &str) -> u64 {
        let refused = self.kernel.counters().refused();
        refused.iter().filter(|refusals| refusals.reason == reason).map(|refusals| refusals.total).sum()
    }
}

impl Pair {
    /// The server's end is reset, and so is the client's once it says more.
    fn is_killed(&mut self) {
        let error = self.server.read(&mut [0]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        wait::until("the client meets a closed port", || self.client.write_all(b"more").err());
    }
}

fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    [SIGNATURE, &[command, family], &(block.len() as u16).to_be_bytes(), block].concat()
}

fn named(source: &str, destination: &str, length: usize) -> Header {
    let end = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    Header::Named { source: end(source), destination: end(destination), length: length as u16 }
}

fn block4() -> Vec<u8> {
    vec![203, 0, 113, 7, 198, 51, 100, 9, 0x30, 0x39, 0x01, 0xbb]
}

fn block6() -> Vec<u8> {
    let mut block = vec![0x20, 1, 0xd, 0xb8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    block.extend([0x20, 1, 0xd, 0xb8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x30, 0x39, 0x01, 0xbb]);
    block
}

const V4: [&str; 2] = ["203.0.113.7:12345", "198.51.100.9:443"];
const V6: [&str; 2] = ["[2001:db8:7::7]:12345", "[2001:db8:7::9]:443"];

/// First segments, and what is noted of them.
fn cases() -> Vec<(Vec<u8>, Header)> {
    let whole = |bytes: Vec<u8>, [source, destination]: [&str; 2]| {
        let header = named(source, destination, bytes.len());
        ([bytes, b"GET /".to_vec()].concat(), header)
    };
    let nameless = |bytes: Vec<u8>| {
        let header = Header::Nameless { length: bytes.len() as u16 };
        ([bytes, b"GET /".to_vec()].concat(), header)
    };
    let other = |bytes: &[u8]| (bytes.to_vec(), Header::Unknown);
    let tlv = [block4(), vec![0xe0, 0x01, 0xf4], vec![7; 500]].concat();
    vec![
        whole(b"PROXY TCP4 203.0.113.7 198.51.100.9 12345 443\r\n".to_vec(), V4),
        whole(b"PROXY TCP6 2001:db8:7::7 2001:db8:7::9 12345 443\r\n".to_vec(), V6),
        whole(b"PROXY TCP6 2001:0db8:0007:0000:0000:0000:0000:0007 2001:0db8:0007:0000:0000:0000:0000:0009 12345 443\r\n".to_vec(), V6),
        whole(b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:198.51.100.9 12345 443\r\n".to_vec(), V4),
        nameless(b"PROXY UNKNOWN\r\n".to_vec()),
        nameless(b"PROXY UNKNOWN anything at all\r\n".to_vec()),
        whole(v2(0x21, 0x11, &block4()), V4),
        whole(v2(0x21, 0x21, &block6()), V6),
        whole(v2(0x21, 0x11, &tlv), V4),
        nameless(v2(0x20, 0, &[])),
        nameless(v2(0x20, 0x11, &block4())),
        nameless(v2(0x21, 0x12, &block4())),
        nameless(v2(0x21, 0x31, &[b'/'; 216])),
        nameless(v2(0x21, 0, &[])),
        other(b"GET / HTTP/1.1\r\n\r\n"),
        other(b"PROPFIND / HTTP/1.1\r\n\r\n"),
        other(b"P"),
        other(b"PROXY TCP4 203.0.113.7 198.51.1"),
        other(&v2(0x21, 0x11, &block4())[..20]),
        other(b"\x16\x03\x01"),
        other(&SIGNATURE[..11]),
    ]
}

#[test]
fn what_a_connection_begins_with_is_there_with_its_first_byte() {
    for hook in HOOKS {
        let Some(listening) = Listening::open(hook, Policy::default()) else { return };
        for from in ["198.51.100.10", "2001:db8:1::1"] {
            for (bytes, expected) in cases() {
                let mut pair = listening.pair(from);
                pair.client.write_all(&bytes).expect("sent");
                assert_eq!(
                    listening.noted(&mut pair),
                    Some(expected),
                    "{hook:?} {from} {}",
                    bytes.escape_ascii()
                );
            }
        }
        assert!(listening.kernel.counters().refused().is_empty(), "{hook:?}");
    }
}

#[test]
fn a_header_that_comes_late_or_in_pieces_is_for_user_space() {
    for hook in HOOKS {
        let Some(listening) = Listening::open(hook, Policy::default()) else { return };
        let header = v2(0x21, 0x11, &block4());
        let mut pair = listening.pair("198.51.100.10");
        pair.client.write_all(&header[..5]).expect("sent");
        assert_eq!(listening.noted(&mut pair), Some(Header::Unknown), "{hook:?}");
        pair.client.write_all(&header[5..]).expect("sent");
        let mut bytes = vec![0; header.len()];
        pair.server.read_exact(&mut bytes).expect("every byte comes");
        assert_eq!(bytes, header, "{hook:?}");
        assert_eq!(
            listening.noted_of(&pair),
            None,
            "{hook:?}: the first segment decides, and is told of once"
        );
    }
}

#[test]
fn the_same_ends_begin_afresh() {
    for hook in HOOKS {
        let Some(listening) = Listening::open(hook, Policy::default()) else { return };
        let mut pair = listening.pair("198.51.100.10");
        pair.client.write_all(b"PROXY TCP4 203.0.113.7 198.51.100.9 12345 443\r\n").expect("sent");
        assert!(matches!(listening.noted(&mut pair), Some(Header::Named { .. })), "{hook:?}");
        let client = pair.client.local_addr().expect("one");
        dial::reset_on_close(&pair.client);
        drop(pair);
        let again = listening.site.wire.client.run(|| {
            wait::until("the port is free", || {
                crate::site::connect_between(client, at(GATEWAY), wait::DEADLINE).ok()
            })
        });
        let (server, _) = listening.listeners[0].accept().expect("it was connected");
        let pair = Pair { client: again, server };
        assert_eq!(listening.noted_of(&pair), None, "{hook:?}: nothing was said yet");
    }
}

#[test]
fn headers_of_those_who_may_not_send_them_and_unsound_ones_end_their_connection() {
    for hook in HOOKS {
        let Some(listening) = Listening::open(hook, Policy::default()) else { return };
        let sound = v2(0x21, 0x11, &block4());
        // Beyond the networks of senders; IPv6 has one network only, which may.
        for bytes in [&sound[..], b"PROXY TCP4 203.0.113.7 198.51.100.9 12345 443\r\n", &v2(0x20, 0, &[])] {
            let mut pair = listening.pair("198.51.100.16");
            pair.client.write_all(bytes).expect("sent");
            pair.is_killed();
        }
        assert!(listening.refused("proxy_untrusted") >= 3, "{hook:?}");
        for from in ["198.51.100.10", "2001:db8:1::1"] {
            for bytes in [
                b"PROXY TCP4 203.0.113.07 198.51.100.9 12345 443\r\n".to_vec(),
                b"PROXY NONSENSE\r\n".to_vec(),
                b"PROXY / HTTP/1.1\r\n".to_vec(),
                [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 120], b"\r\n".to_vec()].concat(),
                v2(0x31, 0x11, &block4()),
                v2(0x22, 0x11, &block4()),
                v2(0x21, 0x13, &block4()),
                v2(0x21, 0x11, &[0; 11]),
            ] {
                let mut pair = listening.pair(from);
                pair.client.write_all(&bytes).expect("sent");
                pair.is_killed();
            }
        }
        assert!(listening.refused("proxy_malformed") >= 16, "{hook:?}");
        let mut pair = listening.pair("198.51.100.16");
        pair.client.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("sent");
        let mut byte = [0];
        pair.server.read_exact(&mut byte).expect("what is no header is none of the kernel's business");
    }
}

#[test]
fn a_policy_holds_for_the_source_in_the_header() {
    for hook in HOOKS {
        let deny = [("203.0.113.7".parse().expect("an address"), 32)];
        let networks = Arc::new(Networks::new(&deny, &[], &[]));
        let policy = Policy { networks, per_source: Some(5), ..Policy::default() };
        let Some(listening) = Listening::open(hook, policy) else { return };
        let line = |last: u8| format!("PROXY TCP4 203.0.113.{last} 198.51.100.9 12345 443\r\n");
        let say = |last: u8| {
            let mut pair = listening.pair("198.51.100.10");
            pair.client.write_all(line(last).as_bytes()).expect("sent");
            pair
        };
        say(7).is_killed();
        assert_eq!(listening.refused("source_denied"), 1, "{hook:?}");
        let served = |last: u8| {
            let mut pair = say(last);
            let mut bytes = vec![0; line(last).len()];
            pair.server.read_exact(&mut bytes).expect("it is served");
        };
        served(8);
        let sources = listening.sources();
        let address = "203.0.113.8".parse().expect("an address");
        sources.mark(QuotaId::of("all"), address, 32, true).expect("there is room");
        say(8).is_killed();
        served(9);
        assert_eq!(listening.refused("over_source_limit"), 1, "{hook:?}");
        sources.mark(QuotaId::of("all"), address, 32, false).expect("there is room");
        served(8);
    }
}
