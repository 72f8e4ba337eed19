//! What a policy refuses, program by program: reasons in their order, by source, network and rate.

use e2e::frame::{CLIENT, CLIENT6, Frame, PORT, SERVER, SERVER6};
use ebpf_common::{DropReason, Limit, ListenerKey, NetworkKey, Networks, Policy, Rate, SourceKey, names};

use crate::programs::{HOOKS, Hook, NETNS, Programs, mapped};

const OWNER: u64 = 77;
const SET: u64 = 5;

/// A listener of both families under a policy, with as many connections as its quota may have or none.
fn listen(programs: &mut Programs, policy: Policy, full: bool) {
    let limit = Limit::new(1, full.then_some(0)).with_policy(policy);
    for address in [mapped(SERVER), SERVER6] {
        programs.listen_with(ListenerKey::new(NETNS, address, PORT), limit, 0);
    }
}

/// Every program refuses SYNs of both families for that reason, or for none.
fn check(programs: &mut Programs, expected: [Option<DropReason>; 2], what: &str) {
    for (frame, expected) in [Frame::v4(), Frame::v6()].into_iter().zip(expected) {
        for hook in HOOKS {
            let before = programs.reasons();
            let action = programs.run(hook, &frame.bytes()).action;
            let mut after = programs.reasons();
            after.retain(|index, count| before.get(index).copied().unwrap_or(0) < *count);
            let found: Vec<u32> = after.into_keys().collect();
            assert_eq!(
                found,
                expected.map(DropReason::index).into_iter().collect::<Vec<_>>(),
                "{hook:?} {what}"
            );
            let actions = [hook.pass(), hook.refuse(), hook.drop()];
            assert_eq!(action == actions[0], expected.is_none(), "{hook:?} {what}: {action} of {actions:?}");
        }
    }
}

#[test]
fn reasons_come_in_their_order() {
    let Some(mut programs) = Programs::load() else { return };
    let limits = |policy: Policy| {
        policy
            .with_source_limit(2)
            .with_prefix_limit(3, 24, 64)
            .with_rates(Rate::new(1_000, 1), Rate::new(1_000, 1))
    };
    let policy = limits(Policy::of(OWNER)).with_networks(SET, true);
    listen(&mut programs, policy, true);
    let networks = [(mapped(CLIENT), 96 + 24), (CLIENT6, 64)];
    let say = |programs: &mut Programs, says: u32| {
        for (address, bits) in networks {
            programs.network(NetworkKey::of_network(SET, address), bits, says);
        }
    };
    let both = |reason| [Some(reason); 2];
    check(&mut programs, both(DropReason::SourceNotAllowed), "no network has them");
    say(&mut programs, Networks::DENY | Networks::ALLOW);
    check(&mut programs, both(DropReason::SourceDenied), "denied, though allowed");
    say(&mut programs, Networks::ALLOW);
    for (address, bits) in [(mapped(CLIENT), 128), (CLIENT6, 128)] {
        programs.source(SourceKey::new(OWNER, address, bits), 2);
    }
    for (address, bits) in networks {
        programs.source(SourceKey::new(OWNER, address, bits as u8), 3);
    }
    check(&mut programs, both(DropReason::OverSourceLimit), "source and network are full");
    for (address, bits) in [(mapped(CLIENT), 128), (CLIENT6, 128)] {
        programs.source(SourceKey::new(OWNER, address, bits), 1);
    }
    check(&mut programs, both(DropReason::OverPrefixLimit), "the network is full");
    for (address, bits) in networks {
        programs.source(SourceKey::new(OWNER, address, bits as u8), 2);
    }
    for address in [mapped(CLIENT), CLIENT6] {
        programs.source_with(SourceKey::new(OWNER, address, 128), 1, true);
    }
    check(&mut programs, both(DropReason::OverSourceRate), "the source has no token");
    listen(&mut programs, policy.with_rates(Rate::NONE, Rate::new(1_000, 1)), true);
    check(&mut programs, both(DropReason::OverListenerRate), "the listener has no token");
    listen(&mut programs, policy.with_rates(Rate::NONE, Rate::NONE), true);
    check(&mut programs, both(DropReason::OverConnectionLimit), "the quota comes last");
    listen(&mut programs, policy, false);
    say(&mut programs, Networks::ALLOW | Networks::EXEMPT);
    check(&mut programs, [None; 2], "exempt from every limit");
    listen(&mut programs, Policy::of(OWNER).with_networks(SET + 1, false), false);
    check(&mut programs, [None; 2], "another set is another policy's");
    listen(&mut programs, limits(Policy::of(OWNER + 1)).with_rates(Rate::NONE, Rate::NONE), false);
    check(&mut programs, [None; 2], "another owner's sources are other ones");
}

#[test]
fn a_bucket_gives_its_tokens_and_no_more() {
    const HOUR: u64 = 3_600_000_000_000;
    for hook in HOOKS {
        let Some(mut programs) = Programs::load() else { return };
        listen(&mut programs, Policy::of(OWNER).with_rates(Rate::new(HOUR, 3), Rate::NONE), false);
        for frame in [Frame::v4(), Frame::v6()].map(|frame| frame.bytes()) {
            let passed = (0..10).filter(|_| programs.run(hook, &frame).action == hook.pass()).count();
            assert_eq!(passed, 3, "{hook:?}: each source has three");
        }
    }
}

#[test]
fn what_is_to_be_dropped_is_not_answered() {
    let Some(mut programs) = Programs::load() else { return };
    listen(&mut programs, Policy::of(OWNER).with_networks(SET, true).dropping(), false);
    for hook in HOOKS {
        let frame = Frame::v4().bytes();
        let run = programs.run(hook, &frame);
        assert_eq!((run.action, run.frame), (hook.drop(), frame), "{hook:?}");
    }
    assert_eq!(programs.unanswered(1), 0, "nobody waits for an answer");
    let all = HOOKS.iter().filter(|hook| **hook != Hook::Tc).count() as u64;
    assert_eq!(programs.refused(1), (all, 1));
}

/// What the issue asks of a million sources: as many counts, and buckets for half of them, as the appliance makes them.
#[test]
fn a_million_sources_take_less_than_200_megabytes() {
    let Some(programs) = Programs::load_sized(0, 1_000_000, 500_000) else { return };
    let [counts, buckets] = [names::SOURCES, names::BUCKETS].map(|name| programs.memory(name));
    assert!(counts > 24 * 2 * 1_000_000, "they are allocated at once: {counts}");
    assert!(counts + buckets < 200_000_000, "{counts} and {buckets} bytes");
}
