//! What becomes of frames, program by program: families, tags, options, extension headers, fragments, nonsense.

use std::collections::BTreeMap;

use e2e::frame::{ACK, Addresses, Frame, PORT, SERVER, SERVER6, SYN};
use ebpf_common::{DropReason, ListenerKey, Unread};

use crate::programs::{HOOKS, Hook, NETNS, Programs, mapped};

fn key(address: [u8; 16]) -> ListenerKey {
    ListenerKey::new(NETNS, address, PORT)
}

/// Both of the server's addresses have all the connections that they may have.
fn full() -> Option<Programs> {
    let mut programs = Programs::load()?;
    programs.listen(key(mapped(SERVER)), 1, Some(10), 10);
    programs.listen(key(SERVER6), 2, Some(10), 10);
    Some(programs)
}

/// What each frame comes to, over every program: refused (`None`) or passed, counted for a reason or not.
fn check(programs: &mut Programs, frame: &[u8], expected: Outcome, what: &str) {
    // The kernel itself takes no skb for a test run whose IP header is not whole.
    let whole = frame.len() >= 14 + 40;
    for hook in HOOKS.into_iter().filter(|hook| whole || *hook != Hook::Tc) {
        let before = programs.reasons();
        let run = programs.run(hook, frame);
        let mut counted: BTreeMap<u32, u64> = programs.reasons();
        for (index, count) in &before {
            counted.entry(*index).and_modify(|now| *now -= count);
        }
        counted.retain(|_, count| *count > 0);
        let (action, reason) = match expected {
            Outcome::Passed => (hook.pass(), None),
            Outcome::Unread(unread) => (hook.pass(), Some(unread.index())),
            Outcome::Refused => (hook.refuse(), Some(DropReason::OverConnectionLimit.index())),
        };
        assert_eq!(run.action, action, "{hook:?} {what}");
        assert_eq!(counted, reason.map(|index| (index, 1)).into_iter().collect(), "{hook:?} {what}");
        if expected != Outcome::Refused {
            assert_eq!(run.frame, frame, "{hook:?} {what}: what is passed is not touched");
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Unread(Unread),
    Refused,
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

#[test]
fn syns_at_the_limit_are_refused_in_every_wrapping() {
    let Some(mut programs) = full() else { return };
    let tag = [[0x81, 0x00], [0x88, 0xa8]];
    let extensions = vec![
        (HOP_BY_HOP, vec![0; 6]),
        (DESTINATION, vec![0; 14]),
        (ROUTING, vec![0; 22]),
        (AUTHENTICATION, vec![0; 22]),
        (DESTINATION, vec![0; 6]),
    ];
    let cases = [
        ("IPv4", Frame::v4()),
        ("IPv6", Frame::v6()),
        ("IPv4, one tag", Frame { tags: vec![tag[0]], ..Frame::v4() }),
        ("IPv4, two tags", Frame { tags: vec![tag[1], tag[0]], ..Frame::v4() }),
        ("IPv6, two tags", Frame { tags: vec![tag[1], tag[0]], ..Frame::v6() }),
        ("IPv4 with options", Frame { options: vec![1; 40], ..Frame::v4() }),
        ("TCP with options", Frame { tcp_options: vec![1; 40], ..Frame::v4() }),
        ("data along", Frame { payload: vec![7; 100], ..Frame::v6() }),
        ("more fields set", Frame { flags: SYN | 0xc0, ..Frame::v4() }),
        ("IPv6, extension headers", Frame { extensions, ..Frame::v6() }),
    ];
    for (what, frame) in cases {
        check(&mut programs, &frame.bytes(), Outcome::Refused, what);
    }
}

#[test]
fn everything_else_passes() {
    let Some(mut programs) = full() else { return };
    let other = |change: fn(&mut Frame)| {
        [Frame::v4(), Frame::v6()].map(|mut frame| {
            change(&mut frame);
            frame.bytes()
        })
    };
    let cases = [
        ("SYN and ACK", other(|frame| frame.flags = SYN | ACK)),
        ("ACK", other(|frame| frame.flags = ACK)),
        ("SYN and RST", other(|frame| frame.flags = SYN | 0x04)),
        ("SYN and FIN", other(|frame| frame.flags = SYN | 0x01)),
        ("another port", other(|frame| frame.ports.1 = PORT + 1)),
        ("the port as sender", other(|frame| frame.ports = (PORT, 40_000))),
        (
            "another address",
            other(|frame| match &mut frame.addresses {
                Addresses::V4(_, to) => to[3] ^= 1,
                Addresses::V6(_, to) => to[15] ^= 1,
            }),
        ),
        (
            "a group",
            other(|frame| match &mut frame.addresses {
                Addresses::V4(_, to) => *to = [224, 0, 0, 1],
                Addresses::V6(_, to) => *to = [0xff; 16],
            }),
        ),
        (
            "from nobody",
            other(|frame| match &mut frame.addresses {
                Addresses::V4(from, _) => *from = [0; 4],
                Addresses::V6(from, _) => *from = [0; 16],
            }),
        ),
    ];
    for (what, frames) in cases {
        for frame in frames {
            check(&mut programs, &frame, Outcome::Passed, what);
        }
    }
    let mut udp = Frame::v4().bytes();
    udp[23] = 17;
    check(&mut programs, &udp, Outcome::Passed, "UDP");
    let mut arp = Frame::v4().bytes();
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    check(&mut programs, &arp, Outcome::Passed, "ARP");
    let mut broadcast = Frame::v4().bytes();
    broadcast[..6].fill(0xff);
    check(&mut programs, &broadcast, Outcome::Passed, "to every station");
    let no_next = Frame { extensions: vec![(59, vec![0; 6])], ..Frame::v6() };
    check(&mut programs, &no_next.bytes(), Outcome::Passed, "nothing behind an extension header");
}

#[test]
fn what_may_end_a_handshake_is_looked_up_and_passes_without_one() {
    let Some(mut programs) = full() else { return };
    let cut = Frame { flags: ACK, ..Frame::v4() }.bytes();
    let malformed = [&cut[..14 + 20 + 12], &[0x40], &cut[14 + 20 + 13..]].concat();
    check(&mut programs, &malformed, Outcome::Passed, "not looked into");
    programs.fill();
    check(&mut programs, &malformed, Outcome::Unread(Unread::Malformed), "looked into");
    for frame in [Frame::v4(), Frame::v6()] {
        for flags in [ACK, ACK | 0x08, ACK | 0x01] {
            let frame = Frame { flags, payload: vec![7; 30], ..frame.clone() };
            check(&mut programs, &frame.bytes(), Outcome::Passed, "no socket");
        }
    }
}

#[test]
fn fragments_pass_and_are_counted() {
    let Some(mut programs) = full() else { return };
    for (what, fragment) in [("first", 0x2000), ("middle", 0x2010), ("last", 0x0010)] {
        let frame = Frame { fragment, ..Frame::v4() };
        check(&mut programs, &frame.bytes(), Outcome::Unread(Unread::Fragment), what);
    }
    let frame = Frame { extensions: vec![(FRAGMENT, vec![0; 6])], ..Frame::v6() };
    check(&mut programs, &frame.bytes(), Outcome::Unread(Unread::Fragment), "IPv6");
}

#[test]
fn nonsense_passes_and_is_counted() {
    let Some(mut programs) = full() else { return };
    let bend = |frame: Frame, at: usize, byte: u8| {
        let mut bytes = frame.bytes();
        bytes[at] = byte;
        bytes
    };
    let malformed = [
        ("IPv4 header of 4 words", bend(Frame::v4(), 14, 0x44)),
        ("IPv4 of version 5", bend(Frame::v4(), 14, 0x55)),
        ("IPv6 of version 4", bend(Frame::v6(), 14, 0x40)),
        ("IPv4 shorter than its header", bend(Frame::v4(), 17, 19)),
        ("IPv4 without room for TCP", bend(Frame::v4(), 17, 39)),
        ("IPv6 without room for TCP", bend(Frame::v6(), 19, 19)),
        ("TCP header of 4 words", bend(Frame::v4(), 46, 0x40)),
        ("TCP header longer than the packet", bend(Frame::v4(), 46, 0xf0)),
        ("cut in the TCP header", Frame::v4().bytes()[..14 + 20 + 13].to_vec()),
        ("cut in the IPv6 header", Frame::v6().bytes()[..14 + 6].to_vec()),
        ("cut behind a tag", Frame { tags: vec![[0x81, 0]], ..Frame::v4() }.bytes()[..17].to_vec()),
    ];
    for (what, frame) in malformed {
        check(&mut programs, &frame, Outcome::Unread(Unread::Malformed), what);
    }
    let tags = Frame { tags: vec![[0x88, 0xa8], [0x88, 0xa8], [0x81, 0]], ..Frame::v4() };
    check(&mut programs, &tags.bytes(), Outcome::Unread(Unread::TooDeep), "three tags");
    let extensions = vec![(DESTINATION, vec![0; 6]); 7];
    let chain = Frame { extensions, ..Frame::v6() };
    check(&mut programs, &chain.bytes(), Outcome::Unread(Unread::TooDeep), "seven extension headers");
}

#[test]
fn a_row_is_for_an_address_of_a_namespace() {
    let Some(mut programs) = Programs::load() else { return };
    let v4 = key(mapped(SERVER));
    programs.listen(v4.wildcard(), 1, Some(1), 1);
    check(&mut programs, &Frame::v4().bytes(), Outcome::Passed, "a wildcard is no address of the host's");
    programs.listen(v4, 2, Some(1), 0);
    check(&mut programs, &Frame::v4().bytes(), Outcome::Passed, "room at the address");
    programs.listen(v4, 2, None, 1_000_000);
    check(&mut programs, &Frame::v4().bytes(), Outcome::Passed, "no limit at the address");
    programs.listen(v4, 2, Some(0), -5);
    check(&mut programs, &Frame::v4().bytes(), Outcome::Passed, "a count below zero refuses nobody");
    programs.listen(v4, 2, Some(0), 0);
    check(&mut programs, &Frame::v4().bytes(), Outcome::Refused, "none may connect");
    check(&mut programs, &Frame::v6().bytes(), Outcome::Passed, "the other family");
    assert_eq!(programs.refused(2), (4, 1));
    programs.listen(ListenerKey::new(NETNS + 1, SERVER6, PORT), 3, Some(0), 0);
    check(&mut programs, &Frame::v6().bytes(), Outcome::Passed, "another namespace's row");
}
