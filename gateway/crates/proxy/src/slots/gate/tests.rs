use std::net::SocketAddr;

use ir::{ConnectionRate, ListenerId, RateUnit, SourceNetworks};
use prometheus::{IntCounter, IntGauge};

use super::*;
use crate::slots::{Tracked, Way};
use crate::sources::Below;

const SECOND: u64 = 1_000_000_000;

struct Judge {
    gate: Gate,
    sources: IntGauge,
}

impl Judge {
    fn new(rules: ConnectionRules) -> Self {
        let sources = IntGauge::new("g", "g").unwrap();
        let tracked = Arc::new(Tracked::new(1_000_000, sources.clone(), IntCounter::new("c", "c").unwrap()));
        let id = ListenerId("a/b/c".into());
        let state = || Arc::new(GateState::new(id, 7, &tracked, &Way::default(), &Below::default()));
        Self { gate: Gate::build(&Arc::new(rules), state).expect("there is something to judge"), sources }
    }

    fn at(&self, address: &str, now: u64) -> Result<Passes, Refusal> {
        let mut passes = Passes::default();
        self.gate.admit_at(Stage::Accepted, address.parse().unwrap(), &mut passes, now)?;
        Ok(passes)
    }

    fn refusal(&self, address: &str, now: u64) -> Option<Refusal> {
        self.at(address, now).err()
    }
}

fn networks(deny: &[&str], allow: &[&str], exempt: &[&str]) -> SourceNetworks {
    let list = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
    SourceNetworks { deny: list(deny), allow: list(allow), exempt: list(exempt), key: SourceKey::Peer }
}

fn rate(connections: u32, burst: u32) -> Option<KeyedRate> {
    let rate = ConnectionRate { connections, unit: RateUnit::Second, burst };
    Some(KeyedRate { rate, key: SourceKey::Peer })
}

#[test]
fn deny_comes_first_then_allow_and_exempt_frees_from_neither() {
    let judge = Judge::new(ConnectionRules {
        networks: networks(
            &["192.0.2.128/25", "2001:db8:bad::/48"],
            &["192.0.2.0/24", "2001:db8::/32"],
            &["192.0.2.0/25", "192.0.2.200/32", "198.51.100.1/32"],
        ),
        listener_rate: rate(1, 1),
        ..ConnectionRules::default()
    });
    for (address, refusal) in [
        ("192.0.2.1", None),
        ("192.0.2.1", None),
        ("192.0.2.200", Some(Refusal::SourceDenied)),
        ("198.51.100.1", Some(Refusal::SourceNotAllowed)),
        ("2001:db8:bad::1", Some(Refusal::SourceDenied)),
        ("2001:db8::1", None),
        ("2001:db8::1", Some(Refusal::OverListenerRate)),
        ("2001:db9::1", Some(Refusal::SourceNotAllowed)),
    ] {
        assert_eq!(judge.refusal(address, 0), refusal, "{address}");
    }
}

#[test]
fn a_source_and_a_prefix_have_so_many_and_a_close_makes_room() {
    let judge = Judge::new(ConnectionRules {
        per_source: Some(SourceLimit { limit: 2, key: SourceKey::Peer }),
        per_prefix: Some(PrefixLimit {
            limit: 3,
            ipv4_prefix_length: 24,
            ipv6_prefix_length: 64,
            key: SourceKey::Peer,
        }),
        ..ConnectionRules::default()
    });
    for [a, b, c, elsewhere] in [
        ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.3.1"],
        ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"],
    ] {
        let mut held: Vec<Passes> = [a, a].iter().map(|address| judge.at(address, 0).ok().unwrap()).collect();
        assert_eq!(judge.refusal(a, 0), Some(Refusal::OverSourceLimit));
        held.push(judge.at(b, 0).ok().unwrap());
        assert_eq!(judge.refusal(c, 0), Some(Refusal::OverPrefixLimit));
        assert!(judge.at(elsewhere, 0).is_ok());
        held.remove(0);
        assert!(judge.at(c, 0).is_ok(), "what was refused has taken nothing");
        drop(held);
        assert_eq!(judge.sources.get(), 0, "nothing is left");
    }
}

#[test]
fn a_source_that_is_too_quick_takes_nothing_from_the_others() {
    let judge = Judge::new(ConnectionRules {
        source_rate: rate(1, 2),
        listener_rate: rate(4, 4),
        ..ConnectionRules::default()
    });
    let refusals = |address, now| [0; 5].map(|_| judge.refusal(address, now));
    let quick = Some(Refusal::OverSourceRate);
    assert_eq!(refusals("192.0.2.1", 0), [None, None, quick, quick, quick]);
    assert_eq!(refusals("192.0.2.2", 0), [None, None, quick, quick, quick]);
    assert_eq!(judge.refusal("192.0.2.3", 0), Some(Refusal::OverListenerRate));
    assert_eq!(judge.refusal("192.0.2.1", SECOND - 1), quick);
    assert_eq!(judge.refusal("192.0.2.1", SECOND), None);
}

#[test]
fn each_part_acts_when_its_address_is_known() {
    let judge = Judge::new(ConnectionRules {
        networks: SourceNetworks { key: SourceKey::ProxySource, ..networks(&["203.0.113.0/24"], &[], &[]) },
        per_source: Some(SourceLimit { limit: 1, key: SourceKey::ProxySource }),
        per_prefix: Some(PrefixLimit {
            limit: 2,
            ipv4_prefix_length: 32,
            ipv6_prefix_length: 128,
            key: SourceKey::Peer,
        }),
        ..ConnectionRules::default()
    });
    let end = |text: &str| text.parse::<SocketAddr>().unwrap();
    let source = |client: &str| Source {
        peer: end("10.0.0.1:1"),
        local: end("10.0.0.2:80"),
        proxied: Some(crate::sources::Proxied { source: end(client), destination: end("10.0.0.2:80") }),
    };
    let connect = |client: &str| {
        let mut passes = Passes::default();
        judge.gate.admit(Stage::Accepted, &source(client), &mut passes)?;
        judge.gate.admit(Stage::Identified, &source(client), &mut passes).map(|()| passes)
    };
    let first = connect("198.51.100.1:5");
    assert!(first.is_ok());
    assert_eq!(connect("198.51.100.1:6").err(), Some(Refusal::OverSourceLimit));
    assert_eq!(connect("203.0.113.9:6").err(), Some(Refusal::SourceDenied));
    let second = connect("198.51.100.2:5");
    assert!(second.is_ok());
    assert_eq!(connect("198.51.100.3:5").err(), Some(Refusal::OverPrefixLimit), "the peer has two");
    drop((first, second));
    assert_eq!(judge.sources.get(), 0);
}

#[test]
fn rules_that_refuse_nothing_cost_nothing() {
    let rules = ConnectionRules {
        networks: networks(&[], &[], &["192.0.2.0/24"]),
        trusted_senders: Some(Vec::new()),
        dry_run: true,
        ..ConnectionRules::default()
    };
    let none = Gate::build(&Arc::new(rules), || unreachable!("no state for nothing"));
    assert!(none.is_none());
}
