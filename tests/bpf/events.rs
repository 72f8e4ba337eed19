//! What is told of refused connections: by each program, at a pace, and with a reader that does not come.

use std::time::Duration;

use bpf::{Hook as TierHook, QuotaId};
use e2e::{
    frame::{CLIENT, CLIENT6, Frame, PORT, SERVER, SERVER6},
    netns::GATEWAY,
    wait,
};
use ebpf_common::{DropReason, ListenerKey, Tier};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::{
    programs::{HOOKS, Hook, NETNS, Programs, mapped},
    site::{PATIENCE, Site, at, limits},
};

/// Both of the server's addresses have all the connections that they may have.
fn full(interval: u64) -> Option<Programs> {
    stay_on_one_processor();
    let mut programs = Programs::load_telling(interval)?;
    programs.listen(ListenerKey::new(NETNS, mapped(SERVER), PORT), 1, Some(10), 10);
    programs.listen(ListenerKey::new(NETNS, SERVER6, PORT), 2, Some(10), 10);
    Some(programs)
}

/// Each processor tells at a pace of its own.
fn stay_on_one_processor() {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("a thread has processors");
    let first = (0..CpuSet::count()).find(|cpu| allowed.is_set(*cpu) == Ok(true)).expect("one at least");
    let mut one = CpuSet::new();
    one.set(first).expect("it is one");
    sched_setaffinity(Pid::from_raw(0), &one).expect("fewer than before");
}

#[test]
fn each_program_tells_who_was_refused_where_and_why() {
    let Some(mut programs) = full(0) else { return };
    for hook in HOOKS {
        let tier = if hook == Hook::Tc { Tier::Tc } else { Tier::Xdp };
        let frames = [(Frame::v4(), 1, mapped(CLIENT), mapped(SERVER)), (Frame::v6(), 2, CLIENT6, SERVER6)];
        for (frame, quota, source, destination) in frames {
            let port = frame.ports.0;
            assert_eq!(programs.run(hook, &frame.bytes()).action, hook.refuse(), "{hook:?}");
            let [event] = programs.events().try_into().expect("one event");
            assert_eq!((event.quota(), event.tier()), (quota, Some(tier)), "{hook:?}");
            assert_eq!(event.reason(), Some(DropReason::OverConnectionLimit));
            assert_eq!((event.source(), event.destination()), ((source, port), (destination, PORT)));
            assert_eq!(event.not_told(), 0);
        }
    }
    assert_eq!(programs.told(), [2 * HOOKS.len() as u64, 0, 0]);
}

#[test]
fn what_is_over_the_pace_is_counted_and_not_told() {
    // One in an hour.
    let Some(mut programs) = full(3_600_000_000_000) else { return };
    for _ in 0..100 {
        assert_eq!(programs.run(Hook::Xdp, &Frame::v4().bytes()).action, Hook::Xdp.refuse());
    }
    assert_eq!((programs.events().len(), programs.told()), (1, [1, 99, 0]));
}

#[test]
fn a_reader_that_does_not_come_costs_events_and_nothing_else() {
    let Some(mut programs) = full(0) else { return };
    const MANY: u64 = 10_000;
    let frame = Frame::v4().bytes();
    for _ in 0..MANY {
        assert_eq!(programs.run(Hook::Tc, &frame).action, Hook::Tc.refuse());
    }
    let [told, not_told, lost] = programs.told();
    assert_eq!((told + lost, not_told), (MANY, 0));
    assert!(told > 1_000 && lost > 1_000, "{told} told, {lost} lost");
    assert_eq!(programs.events().len() as u64, told, "what fits is whole");
    programs.run(Hook::Tc, &frame);
    let [event] = programs.events().try_into().expect("there is room again");
    assert_eq!(event.not_told(), lost, "it stands for those that were lost");
    assert_eq!(programs.told(), [told + 1, 0, lost]);
}

/// On a wire: the reader's descriptor wakes it, and what is told is who has called.
fn told_on_a_wire(hook: TierHook, tier: &str) {
    let Some(site) = Site::open() else { return };
    let mut kernel = site.start(&[hook]).expect("the kernel half works here");
    kernel.tighten(&limits(&[GATEWAY], Some(0))).expect("rows are added");
    let _server = site.listen(GATEWAY);
    let mut events = kernel.events().expect("a second handle");
    site.connect(GATEWAY, PATIENCE).expect_err("none may connect");
    let told = wait::until("the refusal is told of", || events.take());
    assert_eq!((told.quota, told.tier, told.reason), (QuotaId::of(GATEWAY), tier, "over_connection_limit"));
    assert_eq!((told.peer.ip(), told.local), (CLIENT.into(), at(GATEWAY)));
    let counted = kernel.counters().told();
    assert!(counted.told >= 1 && counted.not_told == 0 && counted.lost == 0, "{counted:?}");
    // Handles of its own: those of the programs stay open.
    drop(events);
    let mut again = kernel.events().expect("another one");
    site.connect(GATEWAY, Duration::from_millis(100)).expect_err("none may connect");
    wait::until("the next reader sees what is new", || again.take());
    kernel.detach();
}

#[test]
fn xdp_tells_on_a_wire() {
    told_on_a_wire(TierHook::Xdp, "xdp");
}

#[test]
fn tc_tells_on_a_wire() {
    told_on_a_wire(TierHook::Tc, "tc");
}
