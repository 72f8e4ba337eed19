//! ConnectionPolicy, once per tier: each check of it, who is refused by it and who is not, and the reason that is counted.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use e2e::{
    dial,
    gateway::Gateway,
    http::Connection,
    netns::{GATEWAY, GATEWAY6},
    wait,
};

use crate::cafe::{Cafe, PORT, appliance, connection_policy};

/// A tier, and what a client that it refuses sees.
struct Tier {
    name: &'static str,
    kernel: &'static str,
    refused: Outcome,
    dropped: Outcome,
}

const TIERS: [Tier; 3] = [
    Tier {
        name: "xdp",
        kernel: "{mode: Require, interfaces: [gw0]}",
        refused: Outcome::Reset,
        dropped: Outcome::Dropped,
    },
    Tier {
        name: "tc",
        kernel: "{mode: Require, interfaces: [gw0], tiers: [TC]}",
        refused: Outcome::Reset,
        dropped: Outcome::Dropped,
    },
    Tier { name: "accept", kernel: "{mode: Off}", refused: Outcome::Closed, dropped: Outcome::Closed },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Served,
    /// The SYN was answered with a RST.
    Reset,
    /// The SYN was not answered.
    Dropped,
    /// Accepted, then reset.
    Closed,
}

fn open(tier: &Tier, spec: &str) -> Option<Cafe> {
    Cafe::open(&[("appliance.yaml", appliance(tier.kernel)), ("policy.yaml", connection_policy(spec))], &[])
}

/// Connects and asks once. A connection that is served is held.
fn try_from(cafe: &Cafe, source: &str) -> (Outcome, Option<Connection>) {
    let to = if source.contains(':') { GATEWAY6 } else { GATEWAY };
    let to = SocketAddr::new(to.parse().expect("an address"), PORT);
    let stream: Result<TcpStream, _> =
        cafe.wire.client.run(|| dial::from(source, to, Duration::from_millis(300)));
    match stream.map(Connection::from) {
        Ok(mut connection) => match connection.get("cafe.example.com", "/") {
            Ok(_) => (Outcome::Served, Some(connection)),
            Err(_) => (Outcome::Closed, None),
        },
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => (Outcome::Reset, None),
        Err(error) if error.kind() == ErrorKind::TimedOut => (Outcome::Dropped, None),
        Err(_) => (Outcome::Closed, None),
    }
}

/// The sources that connect one after the other, each held if it is served, and `!` before those that are refused.
fn check(spec: &str, reason: &str, sources: &[&str]) {
    for tier in &TIERS {
        let Some(cafe) = open(tier, spec) else { return };
        let mut held = Vec::new();
        for source in sources {
            let expected = if source.starts_with('!') { tier.refused } else { Outcome::Served };
            let (outcome, connection) = try_from(&cafe, source.trim_start_matches('!'));
            assert_eq!(outcome, expected, "{} {source}\n{}", tier.name, cafe.gateway.log());
            held.extend(connection);
        }
        let refused = sources.iter().filter(|source| source.starts_with('!')).count() as f64;
        // A client may see its reset before the worker that sent it has counted it.
        wait::until("each refusal is counted", || {
            let labels = [&*format!("tier=\"{}\"", tier.name), &*format!("reason=\"{reason}\"")];
            (cafe.metric("gateway_connections_refused_total", &labels) >= refused).then_some(())
        });
    }
}

#[test]
fn networks_that_are_denied() {
    let spec = "  clientCIDRs: {deny: [198.51.100.10/31, \"2001:db8:1::/64\"]}\n";
    check(spec, "source_denied", &["!198.51.100.10", "!198.51.100.11", "!2001:db8:1::1", "198.51.100.12"]);
}

#[test]
fn networks_that_are_not_allowed() {
    let spec = "  clientCIDRs: {allow: [198.51.100.10/32, \"2001:db8:1::1/128\"]}\n";
    check(spec, "source_not_allowed", &["198.51.100.10", "2001:db8:1::1", "!198.51.100.12"]);
}

#[test]
fn connections_of_a_source() {
    let spec =
        "  concurrentConnections: {perSource: {limit: 2}}\n  clientCIDRs: {exempt: [198.51.100.13/32]}\n";
    let v4 = ["198.51.100.10", "198.51.100.10", "!198.51.100.10", "198.51.100.11"];
    let v6 = ["2001:db8:1::1", "2001:db8:1::1", "!2001:db8:1::1"];
    let exempt = ["198.51.100.13"; 3];
    check(spec, "over_source_limit", &[&v4[..], &v6, &exempt].concat());
}

#[test]
fn connections_of_a_network() {
    let spec = "  concurrentConnections: {perPrefix: {limit: 2, ipv4PrefixLength: 28}}\n";
    let sources = ["198.51.100.10", "198.51.100.11", "!198.51.100.12", "198.51.100.16", "2001:db8:1::1"];
    check(spec, "over_prefix_limit", &sources);
}

#[test]
fn new_connections_of_a_source() {
    let spec = "  connectionRate: {perSource: {connections: 1, unit: Hour, burst: 2}}\n";
    let sources = ["198.51.100.10", "198.51.100.10", "!198.51.100.10", "198.51.100.11", "2001:db8:1::1"];
    check(spec, "over_source_rate", &sources);
}

#[test]
fn new_connections_of_all() {
    let spec = "  connectionRate: {perListener: {connections: 1, unit: Hour, burst: 3}}\n";
    let sources = ["198.51.100.10", "198.51.100.11", "2001:db8:1::1", "!198.51.100.12", "!2001:db8:1::1"];
    check(spec, "over_listener_rate", &sources);
}

#[test]
fn what_is_to_be_dropped_is_not_answered_where_the_kernel_refuses() {
    let spec = "  clientCIDRs: {deny: [198.51.100.10/32]}\n  action: {type: Drop}\n";
    for tier in &TIERS {
        let Some(cafe) = open(tier, spec) else { return };
        assert_eq!(try_from(&cafe, "198.51.100.10").0, tier.dropped, "{}", tier.name);
        assert_eq!(try_from(&cafe, "198.51.100.11").0, Outcome::Served, "{}", tier.name);
    }
}

#[test]
fn a_dry_run_tells_and_serves() {
    let spec = "  clientCIDRs: {deny: [198.51.100.10/32]}\n  dryRun: true\n";
    for tier in &TIERS {
        let Some(cafe) = open(tier, spec) else { return };
        assert_eq!(try_from(&cafe, "198.51.100.10").0, Outcome::Served, "{}", tier.name);
        let told = cafe.metric("gateway_connections_dry_run_refused_total", &["reason=\"source_denied\""]);
        assert_eq!(told, 1.0, "{}", tier.name);
    }
}

/// The counts outlive a change of the policy and a killed process, and a policy that goes takes its limit along.
#[test]
fn counts_of_sources_outlive_reloads_and_kills() {
    let limit = |limit: usize| {
        connection_policy(&format!("  concurrentConnections: {{perSource: {{limit: {limit}}}}}\n"))
    };
    for tier in &TIERS {
        let Some(mut cafe) = open(tier, "  concurrentConnections: {perSource: {limit: 2}}\n") else { return };
        let source = "198.51.100.10";
        let mut held: Vec<Connection> = (0..2).filter_map(|_| try_from(&cafe, source).1).collect();
        assert_eq!((held.len(), try_from(&cafe, source).0), (2, tier.refused), "{}", tier.name);
        cafe.place.write("policy.yaml", &limit(3));
        held.push(wait::until("one more may be", || try_from(&cafe, source).1));
        assert_eq!(try_from(&cafe, source).0, tier.refused, "{}", tier.name);
        held.truncate(1);
        held.push(wait::until("a freed slot can be used", || try_from(&cafe, source).1));
        held.push(wait::until("and the other", || try_from(&cafe, source).1));
        cafe.gateway.kill();
        cafe.gateway = Gateway::start(&cafe.wire.gateway, &cafe.place, &[]);
        drop(held);
        let held: Vec<Connection> =
            (0..3).map(|_| wait::until("the successor serves", || try_from(&cafe, source).1)).collect();
        assert_eq!(try_from(&cafe, source).0, tier.refused, "{}", tier.name);
        std::fs::remove_file(cafe.place.config("policy.yaml")).expect("a file of our own");
        wait::until("nothing is asked any more", || try_from(&cafe, source).1);
        drop(held);
    }
}
