//! What a kernel lacks, as far as it can be had here: see `tests/e2e/degraded.rs` for the rest.

use std::io::ErrorKind;

use bpf::{Hook, Interfaces, QuotaId};
use e2e::netns::GATEWAY;

use crate::site::{INTERFACE, PATIENCE, Site, limits, on};

/// As before kernel 6.6: TC's filter is not pinned, and the limit holds.
#[test]
fn without_tcx_a_filter_of_clsact_enforces_the_limit() {
    let Some(site) = Site::open() else { return };
    let mut kernel = site.start(&[Hook::Clsact]).expect("the kernel half works here");
    kernel.tighten(&limits(&[GATEWAY], Some(1))).expect("rows are added");
    let tier = kernel.tiers().find_map(|(_, tier)| tier.ok()).expect("it is attached");
    assert_eq!(tier.to_string(), "TC (clsact, not pinned)");
    assert!(!site.pinned().iter().any(|name| name.starts_with("on_")));
    let _server = site.listen(GATEWAY);
    let held = site.connect(GATEWAY, PATIENCE).expect("there is room");
    let refused = site.connect(GATEWAY, PATIENCE).expect_err("the limit is reached");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    drop(held);
    site.counted(&kernel, GATEWAY, 0);
    site.connect(GATEWAY, PATIENCE).expect("there is room again");
    kernel.detach();
}

/// What each interface lacks is told in a word, and the loopback's want of XDP is none.
#[test]
fn what_is_lacking_is_told_in_a_word() {
    let Some(site) = Site::open() else { return };
    let mut kernel = site.start(&[Hook::Xdp]).expect("the kernel half works here");
    assert_eq!(kernel.lacks(), []);
    let names = [INTERFACE, "lo", "br0", "none0"].map(str::to_owned).to_vec();
    site.wire.gateway.ip("link add br0 type bridge");
    let hooks = vec![Hook::Xdp, Hook::Tc];
    let all = Interfaces { names, hooks, generic_xdp: false };
    site.wire.gateway.run(|| kernel.attach(&all)).expect("what does not work is told");
    let lacks = kernel.lacks();
    let lacks: Vec<(&str, &str)> = lacks.iter().map(|(name, lack)| (name.as_str(), *lack)).collect();
    assert_eq!(lacks, [("br0", "no_native_xdp"), ("none0", "no_interface")]);
    site.wire.gateway.run(|| kernel.attach(&on(&[Hook::Xdp]))).expect("one is left");
    assert_eq!(kernel.lacks(), []);
    assert_eq!(kernel.counters().open_of(QuotaId::of(GATEWAY)), None, "nobody has asked for it");
    kernel.detach();
}
