//! Policies on a wire, by each hook: who may connect, and how many of a source and of a network.

use std::{
    io::ErrorKind,
    net::{IpAddr, TcpStream},
    sync::Arc,
};

use bpf::{Hook, Kernel, Limits, Networks, Policy, PrefixLimit, Rate};
use e2e::{
    netns::{GATEWAY, GATEWAY6},
    wait,
};

use crate::site::{BOTH, PATIENCE, Server, Site, connect_from, limits, policed};

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

struct Policed {
    site: Site,
    kernel: Kernel,
    _servers: [Server; 2],
}

impl Policed {
    fn open(hook: Hook, policy: Policy) -> Option<Self> {
        let site = Site::open()?;
        let mut kernel = site.start(&[hook]).expect("the kernel half works here");
        kernel.tighten(&policed(&BOTH, policy)).expect("rows are added");
        let servers = BOTH.map(|address| site.listen(address));
        Some(Self { site, kernel, _servers: servers })
    }

    fn connect(&self, from: &str) -> Result<TcpStream, ErrorKind> {
        let to = if from.contains(':') { GATEWAY6 } else { GATEWAY };
        self.site.wire.client.run(|| connect_from(from, to, PATIENCE)).map_err(|error| error.kind())
    }

    /// How often that reason was counted.
    fn refused(&self, reason: &str) -> u64 {
        let refused = self.kernel.counters().refused();
        refused.iter().filter(|refusals| refusals.reason == reason).map(|refusals| refusals.total).sum()
    }

    /// Connects once there is room again.
    fn connect_soon(&self, from: &str) -> TcpStream {
        wait::until(&format!("{from} may connect"), || self.connect(from).ok())
    }

    fn put_in_force(&mut self, limits: &Limits) {
        self.kernel.tighten(limits).expect("rows are changed");
        self.kernel.loosen(limits).expect("rows are changed");
    }
}

const REFUSED: ErrorKind = ErrorKind::ConnectionRefused;
const HOOKS: [Hook; 3] = [Hook::Xdp, Hook::Tc, Hook::Clsact];

#[test]
fn networks_that_may_not_connect_are_refused() {
    for hook in HOOKS {
        let deny = [(address("198.51.100.10"), 31), (address("2001:db8:1::"), 64)];
        let policy = Policy { networks: Arc::new(Networks::new(&deny, &[], &[])), ..Policy::default() };
        let Some(mut policed_site) = Policed::open(hook, policy) else { return };
        for from in ["198.51.100.10", "198.51.100.11", "2001:db8:1::1"] {
            assert_eq!(policed_site.connect(from).map(drop), Err(REFUSED), "{hook:?} {from}");
        }
        assert!(policed_site.refused("source_denied") >= 3, "{hook:?}");
        policed_site.connect("198.51.100.12").expect("not denied");
        let allow = [(address("198.51.100.10"), 32), (address("2001:db8:1::1"), 128)];
        let policy = Policy { networks: Arc::new(Networks::new(&[], &allow, &[])), ..Policy::default() };
        policed_site.put_in_force(&policed(&BOTH, policy));
        assert_eq!(policed_site.connect("198.51.100.12").map(drop), Err(REFUSED), "{hook:?}");
        assert!(policed_site.refused("source_not_allowed") >= 1, "{hook:?}");
        for from in ["198.51.100.10", "2001:db8:1::1"] {
            policed_site.connect(from).expect("allowed");
        }
        policed_site.put_in_force(&limits(&BOTH, None));
        policed_site.connect("198.51.100.12").expect("nothing is asked any more");
    }
}

#[test]
fn what_is_dropped_gets_no_answer() {
    for hook in HOOKS {
        let deny = [(address("198.51.100.10"), 32)];
        let networks = Arc::new(Networks::new(&deny, &[], &[]));
        let Some(site) = Policed::open(hook, Policy { networks, drop: true, ..Policy::default() }) else {
            return;
        };
        let error = site.connect("198.51.100.10").map(drop);
        assert!(matches!(error, Err(ErrorKind::TimedOut)), "{hook:?} {error:?}");
        assert!(site.kernel.counters().unanswered().is_empty(), "{hook:?}: as it was wished for");
    }
}

#[test]
fn a_source_has_as_many_connections_as_one_may_have() {
    for hook in HOOKS {
        let policy = Policy { per_source: Some(3), ..Policy::default() };
        let Some(site) = Policed::open(hook, policy.clone()) else { return };
        for from in ["198.51.100.10", "2001:db8:1::1"] {
            let mut held: Vec<TcpStream> = (0..3).map(|_| site.connect(from).expect("room")).collect();
            assert_eq!(site.connect(from).map(drop), Err(REFUSED), "{hook:?} {from}");
            site.connect("198.51.100.11").expect("another source");
            held.pop();
            held.push(site.connect_soon(from));
            assert_eq!(site.connect(from).map(drop), Err(REFUSED), "{hook:?} {from}");
        }
        assert!(site.refused("over_source_limit") >= 4, "{hook:?}");
    }
}

#[test]
fn counts_of_sources_outlive_the_process_and_changes_of_the_policy() {
    let policy = Policy { per_source: Some(2), ..Policy::default() };
    let Some(mut site) = Policed::open(Hook::Xdp, policy.clone()) else { return };
    let held: Vec<TcpStream> = (0..2).map(|_| site.connect("198.51.100.10").expect("room")).collect();
    drop(site.kernel);
    assert_eq!(
        site.site
            .wire
            .client
            .run(|| connect_from("198.51.100.10", GATEWAY, PATIENCE))
            .map_err(|error| error.kind())
            .map(drop),
        Err(REFUSED),
        "nobody is there, and the limit is"
    );
    site.kernel = site.site.start(&[Hook::Xdp]).expect("it takes over");
    site.put_in_force(&policed(&BOTH, policy));
    assert_eq!(site.connect("198.51.100.10").map(drop), Err(REFUSED), "the count is what it was");
    site.put_in_force(&policed(&BOTH, Policy { per_source: Some(3), ..Policy::default() }));
    let third = site.connect("198.51.100.10").expect("one more may be");
    assert_eq!(site.connect("198.51.100.10").map(drop), Err(REFUSED));
    drop((held, third));
    drop(site.connect_soon("198.51.100.10"));
    assert_eq!(site.kernel.counters().evicted(), 0);
}

#[test]
fn the_addresses_of_a_network_count_together() {
    let per_prefix = Some(PrefixLimit { most: 4, ipv4_bits: 28, ipv6_bits: 64 });
    for hook in HOOKS {
        let exempt = [(address("198.51.100.13"), 32)];
        let networks = Arc::new(Networks::new(&[], &[], &exempt));
        let Some(site) = Policed::open(hook, Policy { per_prefix, networks, ..Policy::default() }) else {
            return;
        };
        let sources = ["198.51.100.10", "198.51.100.11", "198.51.100.10", "198.51.100.12"];
        let held: Vec<TcpStream> = sources.iter().map(|from| site.connect(from).expect("room")).collect();
        for from in ["198.51.100.10", "198.51.100.14"] {
            assert_eq!(site.connect(from).map(drop), Err(REFUSED), "{hook:?} {from}");
        }
        site.connect("198.51.100.13").expect("exempt");
        site.connect("198.51.100.16").expect("of another network");
        site.connect("2001:db8:1::1").expect("of another family");
        assert!(site.refused("over_prefix_limit") >= 2, "{hook:?}");
        drop(held);
        site.connect_soon("198.51.100.14");
    }
}

#[test]
fn who_comes_too_quickly_is_refused() {
    let hour = 3_600_000_000_000;
    let rate = |burst| Some(Rate { interval: hour, burst });
    for hook in HOOKS {
        let policy = Policy { source_rate: rate(2), listener_rate: rate(5), ..Policy::default() };
        let Some(site) = Policed::open(hook, policy) else { return };
        let served = |from: &str| (0..4).filter(|_| site.connect(from).is_ok()).count();
        let found = ["198.51.100.10", "2001:db8:1::1", "198.51.100.11"].map(served);
        assert_eq!(found, [2, 2, 1], "{hook:?}: two of each source, five of all");
        assert!(site.refused("over_source_rate") >= 4, "{hook:?}");
        assert!(site.refused("over_listener_rate") >= 1, "{hook:?}");
    }
}

/// The bucket of a source that connects for the first time is found by its address, and with its count afterwards.
#[test]
fn a_sources_bucket_goes_with_its_count() {
    let source_rate = Some(Rate { interval: 3_600_000_000_000, burst: 3 });
    for hook in HOOKS {
        let policy = Policy { per_source: Some(10), source_rate, ..Policy::default() };
        let Some(site) = Policed::open(hook, policy) else { return };
        for from in ["198.51.100.10", "2001:db8:1::1"] {
            let served = (0..6).filter(|_| site.connect(from).is_ok()).count();
            assert_eq!(served, 3, "{hook:?} {from}: as many as there are tokens");
        }
        assert_eq!(site.refused("over_source_rate"), 6, "{hook:?}");
    }
}

/// More sources than there is room for: those that were seen last the longest ago make room, nobody is refused for want
/// of it, and the end of a connection whose row is another one's changes nothing.
#[test]
fn sources_beyond_the_room_start_afresh() {
    let policy = Policy { per_source: Some(1), ..Policy::default() };
    let Some(site) = Policed::open(Hook::Tc, policy) else { return };
    // Senders of a network of their own, beyond the wire.
    site.site.wire.gateway.ip("route add 10.0.0.0/12 via 198.51.100.1");
    site.site.wire.client.ip("route add local 10.0.0.0/12 dev lo");
    let connect = |number: u32| {
        let from = std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string();
        site.site.wire.client.run(|| connect_from(&from, GATEWAY, wait::DEADLINE))
    };
    let first = connect(1).expect("room");
    assert!(connect(1).is_err(), "one of each");
    let others: Vec<TcpStream> =
        (2..6_000).map(|number| connect(number).expect("nobody is refused")).collect();
    let again = connect(1).expect("it was forgotten");
    drop(first);
    wait::until("the end of the first was noticed", || (site.kernel.counters().evicted() > 0).then_some(()));
    assert!(connect(1).is_err(), "the second is counted still");
    drop((again, others));
}
