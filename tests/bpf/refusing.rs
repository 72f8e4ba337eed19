//! A limit on a wire, by each hook: held, freed, changed, for one address and for wildcards.

use std::{io::ErrorKind, net::TcpStream, path::Path};

use bpf::{Hook, Interfaces, Kernel, QuotaId};
use e2e::{
    netns::{GATEWAY, GATEWAY6, Netns},
    wait,
};

use crate::site::{BOTH, PATIENCE, Site, at, limits, on, shared};

const LIMIT: u64 = 3;

fn start(site: &Site, hook: Hook, addresses: &[&str]) -> Kernel {
    let mut kernel = site.start(&[hook]).expect("the kernel half works here");
    for (name, tier) in kernel.tiers() {
        assert!(tier.is_ok(), "{name}: {tier:?}");
    }
    kernel.tighten(&limits(addresses, Some(LIMIT))).expect("rows are added");
    kernel
}

fn fill(site: &Site, address: &str) -> Vec<TcpStream> {
    (0..LIMIT).map(|n| site.connect(address, PATIENCE).unwrap_or_else(|e| panic!("{n}: {e}"))).collect()
}

fn total(kernel: &Kernel, address: &str, tier: &str) -> u64 {
    let refusals = kernel.counters().refused();
    let mine = refusals.iter().filter(|refusals| refusals.quota == QuotaId::of(address));
    mine.inspect(|refusals| assert_eq!((refusals.tier, refusals.reason), (tier, "over_connection_limit")))
        .map(|refusals| refusals.total)
        .sum()
}

/// Fills the limit, is refused as the hook refuses, and is let in again once there is room.
fn held_and_freed(hook: Hook, tier: &str, refused_as: ErrorKind, listen: [&str; 2]) {
    let Some(site) = Site::open() else { return };
    let mut kernel = start(&site, hook, &listen);
    let _servers = [site.listen(listen[0]), site.listen(listen[1])];
    for (address, listener) in BOTH.into_iter().zip(listen) {
        let held = fill(&site, address);
        site.counted(&kernel, listener, LIMIT);
        let error = site.connect(address, PATIENCE).expect_err("the limit is reached");
        assert_eq!(error.kind(), refused_as, "{address}: {error}");
        let refused = total(&kernel, listener, tier);
        assert!(refused >= 1, "{refused} refusals at {listener}");
        drop(held);
        site.counted(&kernel, listener, 0);
        drop(fill(&site, address));
        site.counted(&kernel, listener, 0);
        assert_eq!(total(&kernel, listener, tier), refused, "nothing else was refused");
    }
    kernel.loosen(&limits(&listen, None)).expect("limits are raised");
    let more: Vec<TcpStream> =
        BOTH.iter().flat_map(|address| [fill(&site, address), fill(&site, address)]).flatten().collect();
    assert_eq!(more.len(), 12);
    for listener in listen {
        site.counted(&kernel, listener, 6);
    }
    drop(more);
    kernel.detach();
    assert_eq!(site.pinned(), Vec::<String>::new());
}

#[test]
fn xdp_answers_with_a_reset_at_the_limit_of_an_address() {
    held_and_freed(Hook::Xdp, "xdp", ErrorKind::ConnectionRefused, BOTH);
}

#[test]
fn xdp_answers_with_a_reset_at_the_limit_of_a_wildcard() {
    held_and_freed(Hook::Xdp, "xdp", ErrorKind::ConnectionRefused, ["0.0.0.0", "::"]);
}

#[test]
fn tc_answers_with_a_reset_at_the_limit_of_an_address() {
    held_and_freed(Hook::Tc, "tc", ErrorKind::ConnectionRefused, BOTH);
}

#[test]
fn tc_answers_with_a_reset_at_the_limit_of_a_wildcard() {
    held_and_freed(Hook::Tc, "tc", ErrorKind::ConnectionRefused, ["0.0.0.0", "::"]);
}

#[test]
fn clsact_answers_with_a_reset_at_the_limit_of_an_address() {
    held_and_freed(Hook::Clsact, "tc", ErrorKind::ConnectionRefused, BOTH);
}

#[test]
fn a_clsact_filter_outlives_the_process_and_ends_with_its_successor() {
    let Some(site) = Site::open() else { return };
    let mut kernel = start(&site, Hook::Clsact, &[GATEWAY]);
    kernel.tighten(&limits(&[GATEWAY], Some(0))).expect("limits are lowered");
    let _server = site.listen(GATEWAY);
    let filters = || filters(&site);
    // A killed process runs no destructor.
    std::mem::forget(kernel);
    assert_eq!(
        site.connect(GATEWAY, PATIENCE).expect_err("the filter is there").kind(),
        ErrorKind::ConnectionRefused
    );
    assert_eq!(filters(), 1);
    let kernel = start(&site, Hook::Clsact, &[GATEWAY]);
    assert_eq!(filters(), 1, "it takes the other's place");
    assert_eq!(
        site.connect(GATEWAY, PATIENCE).expect_err("the row is there").kind(),
        ErrorKind::ConnectionRefused
    );
    site.wire.gateway.run(move || kernel.detach());
    assert_eq!(filters(), 0);
    site.connect(GATEWAY, PATIENCE).expect("nothing refuses");
}

/// Filters of clsact on the gateway's interface.
fn filters(site: &Site) -> usize {
    let tc = || std::process::Command::new("tc").args(["filter", "show", "dev", "gw0", "ingress"]).output();
    let output = site.wire.gateway.run(tc).expect("iproute2 has tc");
    String::from_utf8_lossy(&output.stdout).matches("handle ").count()
}

#[test]
fn a_clsact_filter_is_there_after_it_is_attached_again() {
    let Some(site) = Site::open() else { return };
    let mut kernel = start(&site, Hook::Clsact, &[GATEWAY]);
    kernel.tighten(&limits(&[GATEWAY], Some(0))).expect("limits are lowered");
    let _server = site.listen(GATEWAY);
    let others = Interfaces { generic_xdp: true, ..on(&[Hook::Clsact]) };
    site.wire.gateway.run(|| kernel.attach(&others)).expect("it is attached again");
    assert_eq!(filters(&site), 1);
    let refused = site.connect(GATEWAY, PATIENCE).expect_err("the limit holds");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    site.wire.gateway.run(move || kernel.detach());
}

#[test]
fn a_clsact_filter_that_was_left_refuses_nobody_once_the_pins_are_removed() {
    for remove in [|pins: &Path| bpf::remove(pins).expect("root may"), bpf::clean] {
        let Some(site) = Site::open() else { return };
        let mut kernel = start(&site, Hook::Clsact, &[GATEWAY]);
        kernel.tighten(&limits(&[GATEWAY], Some(0))).expect("limits are lowered");
        let _server = site.listen(GATEWAY);
        // A killed process runs no destructor.
        std::mem::forget(kernel);
        site.connect(GATEWAY, PATIENCE).expect_err("the filter is there");
        remove(site.pins());
        assert_eq!(filters(&site), 1, "nobody but who has made it finds it");
        site.connect(GATEWAY, PATIENCE).expect("nothing refuses");
    }
}

/// A host behind the gateway's, with the same port: what is sent on to it is not for a wildcard of ours.
fn forwarded(hook: Hook, refused_as: ErrorKind) {
    let Some(site) = Site::open() else { return };
    let mut kernel = start(&site, hook, &[]);
    kernel.tighten(&limits(&["0.0.0.0", "::"], Some(0))).expect("rows are added");
    let behind = Netns::new("behind");
    let (gateway, client) = (&site.wire.gateway, &site.wire.client);
    gateway.ip(&format!("link add in0 type veth peer name be0 netns {}", behind.name()));
    for words in [
        "address add 203.0.113.1/24 dev in0",
        "address add 2001:db8:2::1/64 dev in0 nodad",
        "link set in0 up",
    ] {
        gateway.ip(words);
    }
    for words in [
        "address add 203.0.113.2/24 dev be0",
        "address add 2001:db8:2::2/64 dev be0 nodad",
        "link set be0 up",
        "route add default via 203.0.113.1",
        "-6 route add default via 2001:db8:2::1",
    ] {
        behind.ip(words);
    }
    gateway.run(|| {
        for family in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{family}"), "1").expect("the namespace's own setting");
        }
    });
    client.ip("route add 203.0.113.0/24 via 198.51.100.100");
    client.ip("-6 route add 2001:db8:2::/64 via 2001:db8:1::100");
    let servers = ["203.0.113.2", "2001:db8:2::2"].map(|address| {
        let listener = behind.run(|| std::net::TcpListener::bind(at(address))).expect("the address is free");
        // The two ends of a new pair may not have found each other yet.
        let connected =
            wait::until("the host behind is found", || match site.connect(address, wait::DEADLINE) {
                Err(error) if error.kind() == ErrorKind::HostUnreachable => None,
                outcome => Some(outcome),
            });
        connected.unwrap_or_else(|error| panic!("sent on to {address}: {error}"));
        listener
    });
    for address in BOTH {
        assert_eq!(
            site.connect(address, PATIENCE).expect_err("the limit is reached").kind(),
            refused_as,
            "{address}"
        );
    }
    drop(servers);
}

#[test]
fn xdp_leaves_alone_what_is_sent_on_to_others() {
    forwarded(Hook::Xdp, ErrorKind::ConnectionRefused);
}

#[test]
fn tc_leaves_alone_what_is_sent_on_to_others() {
    forwarded(Hook::Tc, ErrorKind::ConnectionRefused);
}

#[test]
fn addresses_of_both_families_share_a_limit() {
    let Some(site) = Site::open() else { return };
    let mut kernel = start(&site, Hook::Xdp, &[]);
    kernel.tighten(&shared(&BOTH, Some(2))).expect("rows are added");
    let _servers = BOTH.map(|address| site.listen(address));
    let held = BOTH.map(|address| site.connect(address, PATIENCE).expect("there is room"));
    site.counted(&kernel, "all", 2);
    for address in BOTH {
        let error = site.connect(address, PATIENCE).expect_err("the limit is reached");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{address}");
    }
    assert_eq!(total(&kernel, "all", "xdp"), 2);
    drop(held);
    site.counted(&kernel, "all", 0);
}

#[test]
fn other_ports_and_families_are_let_through() {
    let Some(site) = Site::open() else { return };
    let mut kernel = start(&site, Hook::Xdp, &[GATEWAY]);
    kernel.tighten(&limits(&[GATEWAY], Some(0))).expect("limits are lowered");
    let _servers = BOTH.map(|address| site.listen(address));
    let error = site.connect(GATEWAY, PATIENCE).expect_err("none may connect");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    site.connect(GATEWAY6, PATIENCE).expect("the other family has no row");
}

#[test]
fn tightening_never_raises_and_loosening_never_waits() {
    let Some(site) = Site::open() else { return };
    let mut kernel = start(&site, Hook::Xdp, &[GATEWAY]);
    let _server = site.listen(GATEWAY);
    let held = fill(&site, GATEWAY);
    site.counted(&kernel, GATEWAY, LIMIT);
    kernel.tighten(&limits(&[GATEWAY], Some(100))).expect("nothing is raised");
    site.connect(GATEWAY, PATIENCE).expect_err("the old limit holds until it is published");
    kernel.loosen(&limits(&[GATEWAY], Some(100))).expect("limits are raised");
    let more = site.connect(GATEWAY, PATIENCE).expect("there is room");
    // A listener that goes and comes again while its connections last finds them counted.
    kernel.loosen(&limits(&[], None)).expect("rows are removed");
    kernel.tighten(&limits(&[GATEWAY], Some(4))).expect("rows are added");
    site.counted(&kernel, GATEWAY, 4);
    site.connect(GATEWAY, PATIENCE).expect_err("the limit counts what was there");
    drop((held, more));
    site.counted(&kernel, GATEWAY, 0);
    kernel.loosen(&limits(&[], None)).expect("rows are removed");
    assert_eq!(kernel.counters().open_of(QuotaId::of(GATEWAY)), None, "no connection, no row");
}

#[test]
fn hooks_and_interfaces_change_while_it_works() {
    let Some(site) = Site::open() else { return };
    let mut kernel = start(&site, Hook::Tc, &[GATEWAY]);
    kernel.tighten(&limits(&[GATEWAY], Some(0))).expect("limits are lowered");
    let _server = site.listen(GATEWAY);
    let refused = |site: &Site| site.connect(GATEWAY, PATIENCE).expect_err("none may connect").kind();
    assert_eq!(refused(&site), ErrorKind::ConnectionRefused);
    site.wire.gateway.run(|| kernel.attach(&on(&[Hook::Xdp]))).expect("the hook changes");
    assert_eq!(refused(&site), ErrorKind::ConnectionRefused);
    let mut interfaces = on(&[Hook::Xdp]);
    interfaces.names = vec!["none0".to_owned(), "lo".to_owned()];
    site.wire.gateway.run(|| kernel.attach(&interfaces)).expect("interfaces change");
    let tiers: Vec<String> = kernel
        .tiers()
        .map(|(name, tier)| tier.map_or_else(|error| error.to_string(), |tier| format!("{name} {tier}")))
        .collect();
    assert!(tiers.iter().any(|line| line == "there is no interface none0"), "{tiers:?}");
    assert!(tiers.iter().any(|line| line.contains("loopback")), "{tiers:?}");
    site.connect(GATEWAY, PATIENCE).expect("no program is left on the interface");
    interfaces.hooks = vec![Hook::Xdp, Hook::Tc];
    interfaces.names = vec!["lo".to_owned(), "gw0".to_owned()];
    site.wire.gateway.run(|| kernel.attach(&interfaces)).expect("interfaces change");
    let tiers: Vec<String> =
        kernel.tiers().map(|(name, tier)| format!("{name} {}", tier.expect("it works"))).collect();
    assert_eq!(tiers, ["gw0 XDP", "lo TC"]);
    // An interface that goes and comes again is another one.
    site.wire.gateway.ip("link delete gw0");
    site.wire.client.ip(&format!("link add cl0 type veth peer name gw0 netns {}", site.wire.gateway.name()));
    site.wire.gateway.run(|| kernel.attach(&interfaces)).expect("interfaces change");
    assert!(kernel.tiers().all(|(_, tier)| tier.is_ok()));
    wait::until("the pin of the old one is gone", || {
        (site.pinned().iter().filter(|name| name.starts_with("on_")).count() == 2).then_some(())
    });
}
