//! A refused connection is told of and can be explained, once per tier: its line has who, where, why and by whom, and
//! what `gateway explain connection` says is what happens.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    process::Command,
    thread,
    time::Duration,
};

use e2e::{
    dial,
    http::Connection,
    netns::{GATEWAY, GATEWAY6},
    wait,
};
use serde_json::Value;

use crate::cafe::{Cafe, PORT, appliance, connection_policy, limited, policy};

struct Tier {
    name: &'static str,
    kernel: &'static str,
    /// What `explain` says that a refused client sees.
    sees: &'static str,
}

const TIERS: [Tier; 3] = [
    Tier { name: "xdp", kernel: "{mode: Require, interfaces: [gw0]}", sees: "connection refused, at once" },
    Tier {
        name: "tc",
        kernel: "{mode: Require, interfaces: [gw0], tiers: [TC]}",
        sees: "connection refused, at once",
    },
    Tier { name: "accept", kernel: "{mode: Off}", sees: "connected, then reset" },
];

/// Who may not connect, and how often the others may.
const WHO: &str = "  clientCIDRs: {deny: [198.51.100.19/32, \"2001:db8:1::1/128\"]}
  concurrentConnections: {perSource: {limit: 1}}
";

fn open(tier: &Tier) -> Option<Cafe> {
    let files = [
        ("appliance.yaml", appliance(tier.kernel)),
        ("limit.yaml", limited(2)),
        ("who.yaml", connection_policy(WHO)),
    ];
    Cafe::open(&files, &["--log-format", "json"])
}

fn to(source: &str) -> SocketAddr {
    let to = if source.contains(':') { GATEWAY6 } else { GATEWAY };
    SocketAddr::new(to.parse().expect("an address"), PORT)
}

/// Connects and asks: the connection if it is served, or what the client sees.
fn try_from(cafe: &Cafe, source: &str) -> Result<Connection, &'static str> {
    let patience = Duration::from_millis(500);
    match cafe.wire.client.run(|| dial::from(source, to(source), patience)) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Err("connection refused, at once"),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Err("connected, then reset"),
        Err(error) => panic!("{error}"),
        Ok(stream) => {
            let mut connection = Connection::from(stream);
            let served = connection.get("cafe.example.com", "/").is_ok();
            if served { Ok(connection) } else { Err("connected, then reset") }
        }
    }
}

/// What the running gateway says of a connection.
fn explained(cafe: &Cafe, source: &str) -> Value {
    let output = cafe.wire.gateway.run(|| {
        let mut command = Command::new(e2e::gateway::binary());
        command.args(["explain", "connection", source, &to(source).to_string(), "--output", "json"]);
        command.arg("--runtime-dir").arg(cafe.place.runtime("")).output().expect("it can be started")
    });
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// A line of the access log about a refused connection of that source and reason, by that tier.
fn line(cafe: &Cafe, tier: &Tier, source: &str, reason: &str) -> Option<Value> {
    let log = cafe.gateway.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let source: IpAddr = source.parse().expect("an address");
    let is_it = |line: &Value| {
        line["refused"] == reason && line["client"] == source.to_string() && line["tier"] == tier.name
    };
    lines.into_iter().find(is_it)
}

#[test]
fn what_is_refused_is_told_and_explained_in_each_tier() {
    for tier in &TIERS {
        let Some(cafe) = open(tier) else { return };
        let mut held = Vec::new();
        for (source, reason, by) in [
            ("198.51.100.10", None, ""),
            ("198.51.100.10", Some("over_source_limit"), "default/who"),
            ("198.51.100.19", Some("source_denied"), "default/who"),
            ("2001:db8:1::1", Some("source_denied"), "default/who"),
            ("198.51.100.11", None, ""),
            ("198.51.100.12", Some("over_connection_limit"), "default/client"),
        ] {
            let answer = explained(&cafe, source);
            let way = &answer["ways"][0];
            assert_eq!(way["verdict"]["reason"].as_str(), reason, "{} {source} {answer:#}", tier.name);
            assert_eq!(answer["tier"], tier.name, "{answer:#}");
            match (try_from(&cafe, source), reason) {
                (Ok(connection), None) => held.push(connection),
                (Err(seen), Some(reason)) => {
                    assert_eq!(seen, tier.sees, "{} {source}", tier.name);
                    let sight = serde_json::json!([{ "tier": tier.name, "sees": seen }]);
                    assert_eq!(way["verdict"]["sees"], sight, "{answer:#}");
                    let told = wait::until("it has its line", || line(&cafe, tier, source, reason));
                    assert_eq!((&told["tier"], &told["policy"]), (&tier.name.into(), &by.into()), "{told}");
                    assert_eq!(told["listener"], "default/eg/http", "{told}");
                    assert_eq!(told["local"], to(source).to_string(), "{told}");
                    let last = way["checks"].as_array().and_then(|checks| checks.last());
                    let behind = &last.expect("a check")["behind"];
                    assert!(
                        behind["object"].as_str().is_some_and(|object| object.ends_with(by)),
                        "{answer:#}"
                    );
                    let file = if reason == "over_connection_limit" { "limit.yaml:" } else { "who.yaml:" };
                    assert!(
                        behind["origin"].as_str().is_some_and(|origin| origin.starts_with(file)),
                        "{answer:#}"
                    );
                }
                (outcome, _) => panic!("{} {source}: {:?}\n{answer:#}", tier.name, outcome.err()),
            }
        }
        top(&cafe, tier);
        drop(held);
    }
}

/// Who was refused is at the top, with what for; and each refusal is told of or counted.
fn top(cafe: &Cafe, tier: &Tier) {
    let page = refusals(cafe);
    let rows = page["top"].as_array().expect("rows");
    for (source, reason) in [
        ("198.51.100.19/32", "source_denied"),
        ("2001:db8:1::/64", "source_denied"),
        ("198.51.100.10/32", "over_source_limit"),
    ] {
        let is_it = |row: &&Value| row["source"] == source && row["reason"] == reason;
        let row = rows.iter().find(is_it).unwrap_or_else(|| panic!("{source} {page:#}"));
        assert_eq!((&row["tier"], &row["policy"]), (&tier.name.into(), &"default/who".into()), "{row}");
    }
    let policies = page["byPolicy"].as_array().expect("rows");
    assert!(
        policies.iter().any(|row| row["policy"] == "default/client" && row["tier"] == tier.name),
        "{page:#}"
    );
}

/// What the page of refusals has.
fn refusals(cafe: &Cafe) -> Value {
    let page = cafe.wire.gateway.run(|| e2e::gateway::admin("/refused")).expect("the admin page answers");
    let (_, body) = page.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).expect("JSON")
}

/// By the source in it, or since it is unsound or may not be sent.
const BY_HEADER: &str = "  key: ProxySource
  clientCIDRs: {deny: [203.0.113.7/32, \"2001:db8:7::7/128\"]}
  concurrentConnections: {perSource: {limit: 1}}
";

/// Begins with a header and asks: the connection, if it is served.
fn introduced(cafe: &Cafe, source: &str, header: &str) -> Option<Connection> {
    let stream = cafe.wire.client.run(|| dial::from(source, to(source), wait::DEADLINE));
    let mut connection = Connection::from(stream.expect("nobody is refused by the peer"));
    // It may be reset before all of it is written.
    connection.send(format!("{header}GET / HTTP/1.1\r\nhost: cafe.example.com\r\n\r\n").as_bytes()).ok()?;
    connection.response().ok().map(|_| connection)
}

#[test]
fn who_is_refused_by_a_header_is_told_of_in_each_tier() {
    for tier in &TIERS {
        let files = [
            ("appliance.yaml", appliance(tier.kernel)),
            ("reads.yaml", policy("  proxyProtocol: {optional: true}\n")),
            ("who.yaml", connection_policy(BY_HEADER)),
        ];
        let Some(cafe) = Cafe::open(&files, &["--log-format", "json"]) else { return };
        let named = |source: &str| {
            let family = if source.contains(':') { "TCP6" } else { "TCP4" };
            format!("PROXY {family} {source} {source} 12345 443\r\n")
        };
        let (trusted, full) = ("198.51.100.10", named("203.0.113.8"));
        let held = introduced(&cafe, trusted, &full).expect("the first one");
        // User space finds a source full, and has the kernel refuse it from then on.
        assert!(introduced(&cafe, trusted, &full).is_none());
        for (peer, header, client, source, reason, by) in [
            (
                "198.51.100.17",
                named("203.0.113.9"),
                "198.51.100.17",
                "198.51.100.17/32",
                "proxy_untrusted",
                "",
            ),
            (trusted, "PROXY NONSENSE\r\n".to_owned(), trusted, "198.51.100.10/32", "proxy_malformed", ""),
            (trusted, named("203.0.113.7"), "203.0.113.7", "203.0.113.7/32", "source_denied", "default/who"),
            (
                "2001:db8:1::1",
                named("2001:db8:7::7"),
                "2001:db8:7::7",
                "2001:db8:7::/64",
                "source_denied",
                "default/who",
            ),
            (trusted, full.clone(), "203.0.113.8", "203.0.113.8/32", "over_source_limit", "default/who"),
        ] {
            let labels = [
                &*format!("tier=\"{}\"", tier.name),
                &*format!("reason=\"{reason}\""),
                &*format!("policy=\"{by}\""),
            ];
            let counted = || cafe.metric("gateway_connections_refused_total", &labels);
            let before = counted();
            assert!(introduced(&cafe, peer, &header).is_none(), "{} {client} {reason}", tier.name);
            let what = format!("a refusal of {client} by {} for {reason}", tier.name);
            wait::until(&format!("{what} is counted"), || (counted() > before).then_some(()));
            let told = wait::until(&format!("{what} has its line"), || line(&cafe, tier, client, reason));
            assert_eq!(told["policy"].as_str().unwrap_or_default(), by, "{told}");
            assert_eq!(
                (&told["listener"], &told["local"]),
                (&"default/eg/http".into(), &to(peer).to_string().into())
            );
            let from: SocketAddr =
                told["peer"].as_str().and_then(|peer| peer.parse().ok()).expect("an address");
            assert_eq!(from.ip().to_string(), peer, "{told}");
            wait::until(&format!("{what} is among the top"), || {
                let page = refusals(&cafe);
                let is_it = |row: &&Value| {
                    row["source"] == source && row["reason"] == reason && row["tier"] == tier.name
                };
                let row = page["top"].as_array()?.iter().find(is_it)?;
                (row["policy"].as_str().unwrap_or_default() == by).then_some(())
            });
        }
        drop(held);
    }
}

/// A flood: the log has so many lines and no more, and every refusal is told of, not told of, or lost.
#[test]
fn a_flood_of_refusals_is_sampled_and_none_is_forgotten() {
    for tier in &TIERS[..2] {
        let Some(cafe) = open(tier) else { return };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    cafe.wire.client.enter();
                    for _ in 0..1_500 {
                        let refused = dial::from("198.51.100.19", to(GATEWAY), Duration::from_millis(500));
                        assert!(refused.is_err(), "it is denied");
                    }
                });
            }
        });
        let refused = cafe.metric("gateway_connections_refused_total", &[&format!("tier=\"{}\"", tier.name)]);
        assert!(refused >= 6_000.0, "{refused}");
        let told = |outcome: &str| {
            let labels = ["tier=\"kernel\"", &*format!("outcome=\"{outcome}\"")];
            cafe.metric("gateway_refusals_told_total", &labels)
        };
        wait::until("each is told of or counted", || {
            (told("told") + told("not_told") + told("lost") == refused).then_some(())
        });
        assert!(told("not_told") > 0.0, "the pace of a processor is 100 in a second");
        let log = wait::until("the last lines are written", || {
            let log = cafe.gateway.log();
            (log.matches("source_denied").count() as f64 == told("told")).then_some(log)
        });
        let not_told: u64 = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok()?["not_told"].as_u64())
            .sum();
        assert!(not_told > 0, "lines say what they stand for");
        let page = refusals(&cafe);
        let row = &page["top"][0];
        assert_eq!(
            (&row["source"], &row["latest"]),
            (&"198.51.100.19/32".into(), &"198.51.100.19".into()),
            "{page:#}"
        );
        assert_eq!(
            row["refused"].as_u64(),
            Some(told("told") as u64 + not_told),
            "an estimate: what was told stands for the rest"
        );
    }
}
