//! Handshakes that were let begin while there was room, and end when there is none.

use std::collections::BTreeMap;

use bpf::Hook;
use e2e::{
    frame::{ACK, Addresses, Frame, PORT, SYN, segment_checksum},
    netns::{GATEWAY, GATEWAY6},
};

use crate::{
    site::{INTERFACE, Site, limits},
    tap::Tap,
};

/// As many as that may be open.
const LIMIT: u64 = 100;

/// As many as that begin at once.
const CLIENTS: u16 = 320;

/// The station of the clients' end, and the gateway's.
const STATIONS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

const RST: u8 = 0x04;

/// A sender that no host of the wire answers for.
fn sender(address: &str) -> (&'static str, Addresses) {
    let receiver: std::net::IpAddr = address.parse().expect("an address");
    match receiver {
        std::net::IpAddr::V4(receiver) => {
            ("198.51.100.50", Addresses::V4([198, 51, 100, 50], receiver.octets()))
        }
        std::net::IpAddr::V6(receiver) => {
            let sender: std::net::Ipv6Addr = "2001:db8:1::50".parse().expect("an address");
            ("2001:db8:1::50", Addresses::V6(sender.octets(), receiver.octets()))
        }
    }
}

fn frame(addresses: Addresses, client: u16) -> Frame {
    Frame { addresses, ports: (10_000 + client, PORT), sequence: 1_000, ..Frame::v4() }
}

fn send(tap: &Tap, frame: &Frame) {
    let mut bytes = frame.bytes();
    bytes[..6].copy_from_slice(&STATIONS[1]);
    bytes[6..12].copy_from_slice(&STATIONS[0]);
    tap.send(&bytes);
}

/// The TCP segments from the gateway's port that come with these flags, by client, until each has had one or none
/// comes any more.
fn answers(tap: &Tap, flags: u8, most: usize) -> BTreeMap<u16, (Vec<u8>, Vec<u8>)> {
    let mut answers = BTreeMap::new();
    while answers.len() < most
        && let Some(frame) = tap.receive()
    {
        let (addresses, at) = match frame[12..14] {
            [0x08, 0] => (26..34, 34),
            [0x86, 0xdd] => (22..54, 54),
            _ => continue,
        };
        let Some(segment) = frame.get(at..at + 20) else { continue };
        let port = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
        if port(0) == PORT && segment[13] == flags {
            answers.insert(port(2) - 10_000, (frame[addresses].to_vec(), segment.to_vec()));
        }
    }
    answers
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("four bytes"))
}

/// All of them are let begin; then all of them end at once.
fn in_flight(hook: Hook, address: &str, more: u64) {
    let Some(site) = Site::open() else { return };
    let mut kernel = site.start(&[hook]).expect("the kernel half works here");
    kernel.tighten(&limits(&[address], Some(LIMIT))).expect("rows are added");
    let _listener = site.backlog(address);
    let (text, addresses) = sender(address);
    let station = |[a, b, c, d, e, f]: [u8; 6]| format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    site.wire.client.ip(&format!("link set cl0 address {}", station(STATIONS[0])));
    site.wire.gateway.ip(&format!("link set {INTERFACE} address {}", station(STATIONS[1])));
    let neighbour = format!("neigh replace {text} lladdr {} dev {INTERFACE}", station(STATIONS[0]));
    site.wire.gateway.ip(&neighbour);
    let tap = site.wire.client.run(|| Tap::open("cl0")).expect("root opens packet sockets");
    (0..CLIENTS).for_each(|client| send(&tap, &frame(addresses, client)));
    let begun = answers(&tap, SYN | ACK, CLIENTS.into());
    assert_eq!(begun.len(), usize::from(CLIENTS), "each handshake is let begin");
    for (client, (_, answer)) in &begun {
        let acknowledgement = number(&answer[4..8]).wrapping_add(1);
        send(&tap, &Frame { flags: ACK, sequence: 1_001, acknowledgement, ..frame(addresses, *client) });
    }
    let refused = answers(&tap, RST, usize::from(CLIENTS) - LIMIT as usize);
    for (client, (addresses, reset)) in &refused {
        let expected = number(&begun[client].1[4..8]).wrapping_add(1);
        assert_eq!(number(&reset[4..8]), expected, "the number that the client waits for");
        assert_eq!(segment_checksum(addresses, reset), 0, "the segment sums to nothing");
    }
    let open = u64::from(CLIENTS) - refused.len() as u64;
    site.counted(&kernel, address, open);
    assert!((LIMIT..=LIMIT + more).contains(&open), "{open} are open of {LIMIT}");
    let counted: u64 = kernel.counters().refused().iter().map(|refusals| refusals.total).sum();
    assert!(counted >= refused.len() as u64, "{counted} counted");
}

/// A driver hands segments on in batches of eight (`net.core.gro_normal_batch`), which XDP has judged before the
/// first of them opens a connection. What is too many, accept refuses.
fn batches() -> u64 {
    8 * aya::util::nr_cpus().expect("processors") as u64
}

#[test]
fn xdp_ends_handshakes_in_flight_at_the_limit() {
    in_flight(Hook::Xdp, GATEWAY, batches());
}

#[test]
fn xdp_ends_handshakes_in_flight_at_the_limit_of_ipv6() {
    in_flight(Hook::Xdp, GATEWAY6, batches());
}

#[test]
fn tc_ends_handshakes_in_flight_at_the_limit() {
    in_flight(Hook::Tc, GATEWAY, 0);
}

#[test]
fn tc_ends_handshakes_in_flight_at_the_limit_of_ipv6() {
    in_flight(Hook::Tc, GATEWAY6, 0);
}
