//! The bytes of the answer, read and summed here once more.

use e2e::frame::{Addresses, Frame, PORT, SERVER, STATIONS, checksum, segment_checksum};
use ebpf_common::{DropReason, ListenerKey};

use crate::programs::{HOOKS, Hook, NETNS, Programs};

fn answer(programs: &mut Programs, hook: Hook, frame: &Frame) -> Vec<u8> {
    let receiver = match frame.addresses {
        Addresses::V4(_, to) => std::net::Ipv4Addr::from(to).to_ipv6_mapped().octets(),
        Addresses::V6(_, to) => to,
    };
    programs.listen(ListenerKey::new(NETNS, receiver, PORT), 1, Some(0), 0);
    let run = programs.run(hook, &frame.bytes());
    assert_eq!(run.action, hook.refuse());
    run.frame
}

/// Checks an answer against the frame that asked for it.
fn check(frame: &Frame, answer: &[u8]) {
    let asked = frame.bytes();
    let link = 14 + 4 * frame.tags.len();
    assert_eq!(answer[..6], STATIONS[6..], "to the sender's station");
    assert_eq!(answer[6..12], STATIONS[..6]);
    assert_eq!(answer[12..link], asked[12..link], "tags and type stay");
    let packet = &answer[link..];
    let (addresses, segment) = match frame.addresses {
        Addresses::V4(from, to) => {
            assert_eq!(packet.len(), 40);
            assert_eq!((packet[0], packet[9]), (0x45, 6));
            assert_eq!(packet[2..4], 40u16.to_be_bytes());
            assert_eq!(packet[6] & 0xbf, 0, "no fragment");
            assert!(packet[8] >= 32, "it must get there");
            assert_eq!(packet[12..20], [to, from].concat());
            assert_eq!(checksum(&packet[..20]), 0, "the header sums to nothing");
            (&packet[12..20], &packet[20..])
        }
        Addresses::V6(from, to) => {
            assert_eq!(packet.len(), 60);
            assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 20, 6, 64]);
            assert_eq!(packet[8..40], [to, from].concat());
            (&packet[8..40], &packet[40..])
        }
    };
    assert_eq!(segment[..2], frame.ports.1.to_be_bytes());
    assert_eq!(segment[2..4], frame.ports.0.to_be_bytes());
    assert_eq!(segment[4..8], [0; 4], "RFC 9293 §3.10.7.1: sequence number 0");
    let length = 1 + frame.payload.len() as u32;
    assert_eq!(segment[8..12], frame.sequence.wrapping_add(length).to_be_bytes());
    assert_eq!(segment[12..16], [0x50, 0x14, 0, 0], "RST and ACK, no window");
    assert_eq!(segment[18..20], [0; 2]);
    assert_eq!(segment_checksum(addresses, segment), 0, "the segment sums to nothing");
}

#[test]
fn a_refused_syn_is_answered_with_a_reset_that_its_sender_believes() {
    let Some(mut programs) = Programs::load() else { return };
    for frame in [Frame::v4(), Frame::v6()] {
        let cases = [
            frame.clone(),
            Frame { sequence: u32::MAX, ..frame.clone() },
            Frame { sequence: u32::MAX - 10, payload: vec![9; 200], ..frame.clone() },
            Frame { tcp_options: vec![1; 20], ..frame.clone() },
            Frame { tags: vec![[0x88, 0xa8], [0x81, 0]], ..frame.clone() },
        ];
        for case in cases {
            for hook in HOOKS {
                check(&case, &answer(&mut programs, hook, &case));
            }
        }
    }
    let options = Frame { options: vec![1; 8], ..Frame::v4() };
    for hook in HOOKS {
        check(&options, &answer(&mut programs, hook, &options));
    }
    let extensions = Frame { extensions: vec![(60, vec![0; 14])], ..Frame::v6() };
    for hook in HOOKS {
        check(&extensions, &answer(&mut programs, hook, &extensions));
    }
}

#[test]
fn the_reference_checksum_is_that_of_the_rfc() {
    // RFC 1071 §3's own example sums to ddf2 before it is complemented.
    assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
}

#[test]
fn more_resets_than_their_pace_are_not_sent_and_the_segment_is_dropped() {
    const HOUR: u64 = 3_600_000_000_000;
    for hook in HOOKS {
        let Some(mut programs) = Programs::load_paced(HOUR) else { return };
        let receiver = std::net::Ipv4Addr::from(SERVER).to_ipv6_mapped().octets();
        programs.listen(ListenerKey::new(NETNS, receiver, PORT), 1, Some(0), 0);
        let frame = Frame::v4().bytes();
        let actions: Vec<i32> = (0..10).map(|_| programs.run(hook, &frame).action).collect();
        let answered = actions.iter().filter(|action| **action == hook.refuse()).count();
        let dropped = actions.iter().filter(|action| **action == hook.drop()).count();
        // Each processor that a run happened to be on has sent one.
        assert_eq!(answered + dropped, 10, "{hook:?} {actions:?}");
        let processors = aya::util::nr_cpus().expect("processors");
        assert!((1..=processors.min(9)).contains(&answered), "{hook:?} {actions:?}");
        let reasons = programs.reasons();
        assert_eq!(reasons[&DropReason::OverConnectionLimit.index()], 10, "{hook:?}");
        assert_eq!(programs.unanswered(1), dropped as u64, "{hook:?}");
    }
}
