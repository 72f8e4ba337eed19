//! Verdicts and answers on the host, on arbitrary frames: no panic, no refusal of what is not whole, and answers
//! whose sums come out right by another way of summing.

use std::net::{Ipv4Addr, Ipv6Addr};

use ebpf_common::{
    Answer, Answers, Count, DropReason, Ends, HANDSHAKE, Handshakes, Limit, ListenerKey, Listeners, Mark,
    Opening, Pace, Reset, Sources, Unread, Verdict, is_unrelated, judge,
};
use frame::{Addresses, Frame, SYN};
use proptest::{collection::vec, prelude::*};

#[path = "../../../../tests/src/frame.rs"]
mod frame;

const NETNS: u64 = 7;

/// No socket listens there.
const ELSEWHERE: [u8; 16] = [7; 16];

/// Every address and port but one has a socket, and all of them are full.
struct Full;

static FULL: Limit = Limit::new(1, Some(0));

impl Listeners for Full {
    fn limit(&self, listener: &ListenerKey) -> Option<&Limit> {
        assert_eq!(listener.netns(), NETNS);
        (listener.address() != ELSEWHERE).then_some(&FULL)
    }

    fn open(&self, _: &Limit) -> i64 {
        0
    }

    fn sources(&self, _: &Limit) -> impl Sources {}
}

/// Handshakes with everybody have begun, or with nobody; a quota has become full lately, or not.
struct Begun {
    lately: bool,
    open: bool,
}

impl Handshakes for Begun {
    fn filled_lately(&self) -> bool {
        self.lately
    }

    fn is_open(&self, segment: &Opening) -> bool {
        assert!(self.lately && segment.is_last(), "nothing else is looked up");
        self.open
    }
}

fn refused(bytes: &[u8]) -> Option<Opening> {
    match judge(&bytes, NETNS, &Full, &(), &()) {
        Verdict::Refuse(refusal) => Some(refusal.opening),
        Verdict::Pass | Verdict::PassUnread(_) | Verdict::ReadHeader => None,
    }
}

prop_compose! {
    fn addresses()(v6 in any::<bool>(), from in any::<u128>(), to in any::<u128>()) -> Addresses {
        let unicast = |address: u128| address & (u128::MAX >> 3) | 1 << 124;
        let v4 = |address: u128| (address as u32 & 0x7fff_ffff | 0x0100_0000).to_be_bytes();
        if v6 {
            Addresses::V6(unicast(from).to_be_bytes(), unicast(to).to_be_bytes())
        } else {
            Addresses::V4(v4(from), v4(to))
        }
    }
}

prop_compose! {
    fn openings()(
        addresses in addresses(),
        tags in vec(prop_oneof![Just([0x81, 0]), Just([0x88, 0xa8])], 0..3),
        extensions in vec((prop_oneof![Just(0), Just(43), Just(51), Just(60), Just(135)], 0..4usize), 0..7),
        options in (0..11usize, 0..11usize),
        ports in any::<(u16, u16)>(),
        sequence in any::<u32>(),
        payload in vec(any::<u8>(), 0..80),
    ) -> Frame {
        let extensions = extensions.into_iter().map(|(kind, units)| (kind, vec![0; units * 8 + 6])).collect();
        Frame {
            addresses, tags, extensions, ports, sequence, payload,
            options: vec![1; options.0 * 4],
            tcp_options: vec![1; options.1 * 4],
            ..Frame::v4()
        }
    }
}

fn bytes(reset: Reset) -> Vec<u8> {
    match reset {
        Reset::V4(words) => words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
        Reset::V6(words) => words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
    }
}

/// A frame of any kind, by what its bytes are set to.
fn bent() -> impl Strategy<Value = Vec<u8>> {
    let places = (0..80usize, prop_oneof![any::<u8>(), Just(0x45), Just(6), Just(17), Just(0)]);
    (openings(), any::<u8>(), vec(places, 0..3), any::<prop::sample::Index>()).prop_map(
        |(mut frame, flags, places, cut)| {
            frame.flags = flags;
            let mut bytes = frame.bytes();
            for (place, byte) in places {
                if let Some(there) = bytes.get_mut(place) {
                    *there = byte;
                }
            }
            // Most are whole.
            let length = cut.index(4 * bytes.len());
            bytes.truncate(length.max(1));
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_is_unrelated_passes_uncounted(frame in bent(), lately in any::<bool>()) {
        let frame = &frame[..];
        if is_unrelated(&frame, || lately) {
            let verdict = judge(&frame, NETNS, &Full, &Begun { lately, open: true }, &());
            prop_assert_eq!(verdict, Verdict::Pass);
        }
    }
}

#[test]
fn data_and_other_protocols_are_unrelated() {
    for mut frame in [Frame::v4(), Frame::v6()] {
        frame.payload = vec![0; 20];
        let ask = |frame: &Frame, lately| is_unrelated(&&frame.bytes()[..], || lately);
        assert!(!ask(&frame, false), "a SYN");
        frame.flags = frame::ACK;
        assert_eq!([true, false].map(|lately| ask(&frame, lately)), [false, true], "data");
        let mut bytes = frame.bytes();
        let protocol = if matches!(frame.addresses, Addresses::V4(..)) { 23 } else { 20 };
        bytes[protocol] = 17;
        assert!(is_unrelated(&&bytes[..], || true), "UDP");
    }
}

proptest! {
    #[test]
    fn an_opening_is_refused_and_answered_whatever_it_is_wrapped_in(frame in openings()) {
        let opening = refused(&frame.bytes());
        prop_assert!(opening.is_some(), "{frame:?}");
        let answer = bytes(Reset::answering(&opening.unwrap()));
        let (addresses, segment) = match frame.addresses {
            Addresses::V4(from, to) => {
                prop_assert_eq!(frame::checksum(&answer[..20]), 0);
                prop_assert_eq!(&answer[12..20], [to, from].concat());
                (&answer[12..20], &answer[20..])
            }
            Addresses::V6(from, to) => {
                prop_assert_eq!(&answer[8..40], [to, from].concat());
                (&answer[8..40], &answer[40..])
            }
        };
        prop_assert_eq!(frame::segment_checksum(addresses, segment), 0);
        prop_assert_eq!(&segment[..2], frame.ports.1.to_be_bytes());
        prop_assert_eq!(&segment[2..4], frame.ports.0.to_be_bytes());
        let acknowledged = frame.sequence.wrapping_add(frame.payload.len() as u32 + 1);
        prop_assert_eq!(&segment[8..12], acknowledged.to_be_bytes());
    }

    #[test]
    fn a_sum_that_a_device_finishes_comes_out_right(frame in openings()) {
        let opening = refused(&frame.bytes()).unwrap();
        let answer = bytes(Reset::answering(&opening));
        let (addresses, segment) = match frame.addresses {
            Addresses::V4(..) => (&answer[12..20], &answer[20..]),
            Addresses::V6(..) => (&answer[8..40], &answer[40..]),
        };
        let mut left = segment.to_vec();
        left[16..18].copy_from_slice(&Reset::unfinished_checksum(&opening).to_ne_bytes());
        let finished = frame::checksum(&left);
        left[16..18].copy_from_slice(&finished.to_be_bytes());
        prop_assert_eq!(frame::segment_checksum(addresses, &left), 0);
    }

    #[test]
    fn the_end_of_a_handshake_is_refused_if_there_is_one(
        frame in openings(), flags in any::<u8>(), acknowledgement in any::<u32>(), open in any::<bool>(), lately in any::<bool>(),
    ) {
        let frame = Frame { flags: flags & !0x06 | 0x10, acknowledgement, ..frame };
        let asked = frame.bytes();
        match judge(&asked.as_slice(), NETNS, &Full, &Begun { lately, open }, &()) {
            Verdict::Refuse(refusal) => {
                prop_assert!(lately && open);
                let answer = bytes(Reset::answering(&refusal.opening));
                let (addresses, segment) = match frame.addresses {
                    Addresses::V4(..) => (&answer[12..20], &answer[20..]),
                    Addresses::V6(..) => (&answer[8..40], &answer[40..]),
                };
                prop_assert_eq!(&segment[4..8], acknowledgement.to_be_bytes());
                prop_assert_eq!(&segment[8..14], [0, 0, 0, 0, 0x50, 0x04]);
                prop_assert_eq!(frame::segment_checksum(addresses, segment), 0);
                let ports = [frame.ports.0.to_be_bytes(), frame.ports.1.to_be_bytes()].concat();
                let ends: Vec<u8> = match refusal.opening.ends() {
                    Ends::V4(words) => words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
                    Ends::V6(words) => words.iter().flat_map(|word| word.to_ne_bytes()).collect(),
                };
                let expected = match frame.addresses {
                    Addresses::V4(from, to) => [from.as_slice(), &to, &ports].concat(),
                    Addresses::V6(from, to) => [from.as_slice(), &to, &ports].concat(),
                };
                prop_assert_eq!(ends, expected);
            }
            verdict => prop_assert!(!(lately && open) && verdict == Verdict::Pass, "{:?}", verdict),
        }
    }

    #[test]
    fn what_is_cut_before_its_ports_and_flags_are_known_is_never_refused(frame in openings(), cut in any::<prop::sample::Index>()) {
        let whole = frame.bytes();
        let header = whole.len() - frame.payload.len() - frame.tcp_options.len();
        let cut = cut.index(header);
        prop_assert_eq!(refused(&whole[..cut]), None);
        let verdict = judge(&&whole[..cut], NETNS, &Full, &(), &());
        prop_assert_eq!(verdict, Verdict::PassUnread(Unread::Malformed));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = refused(&bytes);
    }

    #[test]
    fn only_a_syn_alone_is_refused(frame in openings(), flags in any::<u8>()) {
        let opens = flags & (SYN | 0x10 | 0x04 | 0x01) == SYN;
        prop_assert_eq!(refused(&Frame { flags, ..frame }.bytes()).is_some(), opens);
    }
}

#[test]
fn answers_keep_their_pace_and_may_burst() {
    const BURST: u64 = 100_000_000;
    let answers = |pace: &mut Pace, now: u64, interval: u64| {
        (0..1_000_000).take_while(|_| pace.admits(now, interval)).count() as u64
    };
    let mut pace = Pace::default();
    assert_eq!(answers(&mut pace, 1_000_000_000, 10_000), BURST / 10_000 + 1, "a burst");
    assert_eq!(answers(&mut pace, 1_000_050_000, 10_000), 5, "and one more every interval");
    assert_eq!(
        answers(&mut pace, HANDSHAKE, 10_000),
        BURST / 10_000 + 1,
        "a rest fills it up, and no further"
    );
    assert_eq!(answers(&mut Pace::default(), 0, 0), 1_000_000, "no interval, no end");
    let mut pace = Pace::default();
    assert_eq!([pace.admits(u64::MAX, u64::MAX), pace.admits(7, u64::MAX)], [true, false]);
}

#[test]
fn refusals_are_counted_by_reason_and_by_what_became_of_them() {
    let mut answers = Answers::default();
    let outcomes = [
        (DropReason::OverConnectionLimit, Answer::Reset),
        (DropReason::OverConnectionLimit, Answer::Missing),
        (DropReason::SourceDenied, Answer::Silence),
        (DropReason::OverListenerRate, Answer::Missing),
    ];
    outcomes.into_iter().for_each(|(reason, answer)| answers.count(reason, answer));
    let totals: Vec<(DropReason, u64)> = answers.totals().filter(|(_, total)| *total > 0).collect();
    let expected = [
        (DropReason::OverConnectionLimit, 2),
        (DropReason::SourceDenied, 1),
        (DropReason::OverListenerRate, 1),
    ];
    assert_eq!(totals, expected);
    assert_eq!(answers.unanswered(), 2);
    let names: std::collections::BTreeSet<&str> =
        DropReason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), DropReason::ALL.len());
    let indices = DropReason::ALL.map(DropReason::index).into_iter().chain(Unread::ALL.map(Unread::index));
    let indices: std::collections::BTreeSet<u32> = indices.chain([ebpf_common::EVICTED]).collect();
    assert_eq!(indices.len(), DropReason::ALL.len() + Unread::ALL.len() + 1, "one counter each");
    assert!(indices.iter().all(|index| *index < ebpf_common::REASONS));
}

#[test]
fn what_is_for_another_host_is_for_no_socket_of_ours() {
    let Addresses::V6(sender, here) = Frame::v6().addresses else { panic!("it is IPv6") };
    let to = |receiver| refused(&Frame { addresses: Addresses::V6(sender, receiver), ..Frame::v6() }.bytes());
    assert_eq!(to(ELSEWHERE), None);
    assert!(to(here).is_some());
}

#[test]
fn keys_of_packets_and_of_configuration_are_the_same() {
    let v4 = Ipv4Addr::new(192, 0, 2, 7);
    let v6: Ipv6Addr = "2001:db8::7".parse().unwrap();
    let words = |address: Ipv6Addr| {
        let octets = address.octets();
        [0, 4, 8, 12].map(|at| u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap()))
    };
    let port = 443u16;
    let of_packet = ListenerKey::v4(NETNS, u32::from_ne_bytes(v4.octets()), port.to_be());
    let of_configuration = ListenerKey::new(NETNS, v4.to_ipv6_mapped().octets(), port);
    assert_eq!(of_packet, of_configuration);
    assert_eq!((of_packet.address(), of_packet.port()), (v4.to_ipv6_mapped().octets(), port));
    assert_eq!(ListenerKey::v6(NETNS, words(v6), port.to_be()), ListenerKey::new(NETNS, v6.octets(), port));
    let any4 = ListenerKey::new(NETNS, Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets(), port);
    let any6 = ListenerKey::new(NETNS, [0; 16], port);
    assert_eq!((of_packet.wildcard(), any4.wildcard(), any6.wildcard()), (any4, any4, any6));
}

#[test]
fn a_limit_is_reached_by_counting_and_not_by_a_count_below_zero() {
    let limit = Limit::new(3, Some(2));
    assert_eq!([-1, 0, 1, 2, 3].map(|open| limit.is_reached(open)), [false, false, false, true, true]);
    assert_eq!((limit.quota(), limit.most()), (3, Some(2)));
    assert!(Limit::new(3, Some(0)).is_reached(0));
    assert!(!Limit::new(3, None).is_reached(i64::MAX));
    assert_eq!(Limit::new(3, None).most(), None);
}

#[test]
fn a_connection_is_taken_off_once() {
    let mut mark = Mark::counted(5, 9);
    assert!(!mark.is_fresh());
    assert_eq!((mark.slot(), mark.epoch()), (5, 9));
    assert_eq!([mark.take_off(), mark.take_off(), mark.take_off()], [true, false, false]);
    assert!(!mark.is_fresh(), "it is not counted again");
    assert_eq!((Count::new(9).open(), Count::new(9).epoch()), (0, 9));
}
