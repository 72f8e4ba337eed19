use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use ir::{
    BindId, ClientSettings, ConnectionLimit, ConnectionRate, ConnectionRules, KeyedRate, ListenerId,
    PolicyNames, PrefixLimit, Protocol, ProxyProtocol, RateUnit, SocketKey, SourceKey, SourceLimit,
    SourceNetworks, Transport,
};
use proptest::prelude::*;

use super::{Check, Explanation, Outcome, Path, Question, explainer::explain};
use crate::{
    carry::Carry,
    connection::{Applicant, Known, ask},
    metrics::Metrics,
    refusal::Refusal,
    slots::{Gate, Passes, Slot, Stage},
    snapshot::{Listener, Snapshot},
    sources::{Proxied, Source},
};

const PORT: u16 = 8080;

fn socket(address: &str, port: u16) -> SocketKey {
    SocketKey { transport: Transport::Tcp, address: address.parse().unwrap(), port }
}

fn listener(name: &str, hostname: Option<&str>, client: &Arc<ClientSettings>) -> ir::Listener {
    ir::Listener {
        id: ListenerId(format!("default/eg/{name}").into()),
        hostname: hostname.map(|name| name.parse().unwrap()),
        tls: None,
        client: Arc::clone(client),
        connection: None,
        policies: PolicyNames::default(),
        hosts: Vec::new(),
        broken: false,
    }
}

fn bind(protocol: Protocol, sockets: Vec<SocketKey>, listeners: Vec<ir::Listener>) -> ir::Bind {
    ir::Bind {
        id: BindId(format!("default/eg:{}/TCP", sockets[0].port).into()),
        sockets,
        protocol,
        client: Arc::clone(&listeners[0].client),
        listeners: listeners.into_iter().map(Arc::new).collect(),
    }
}

fn built(binds: Vec<ir::Bind>) -> (Carry, Snapshot) {
    let carry = Carry::new(Metrics::new(), u64::MAX);
    let mut config = ir::Gateway { binds, ..ir::Gateway::default() };
    config.appliance.max_connections = 6;
    let snapshot = Snapshot::build(Arc::new(config), &carry, 1);
    (carry, snapshot)
}

fn question(peer: &str, local: &str) -> Question {
    let peer = SocketAddr::new(peer.parse().unwrap(), 0);
    Question { peer, local: local.parse().unwrap(), proxied: None, server_name: None }
}

fn paths(explanation: Explanation) -> Vec<Path> {
    match explanation {
        Explanation::Listener { paths, .. } => paths,
        Explanation::NoListener { nearest } => panic!("no listener; the nearest is {nearest:?}"),
    }
}

/// A connection without a socket: it takes in earnest what a real one takes.
struct Taker {
    source: Source,
    passes: Passes,
    slot: Option<Slot>,
    waved_through_for: Option<Refusal>,
}

impl Applicant for Taker {
    fn is_waved_through(&self) -> bool {
        self.passes.waved_through
    }

    fn judge(&mut self, gate: &Gate, stage: Stage) -> Result<(), Refusal> {
        gate.admit(stage, &self.source, &mut self.passes)
    }

    fn wave_through(&mut self, refusal: Refusal) {
        self.passes.free();
        self.passes.waved_through = true;
        self.waved_through_for = Some(refusal);
    }

    fn has_slot(&self) -> bool {
        self.slot.is_some()
    }

    fn take_slot(&mut self, listener: &Listener, limit: Option<u64>) -> Result<(), Refusal> {
        self.slot = Some(Slot::take(&listener.slots, limit, self.source.peer, self.source.local)?);
        Ok(())
    }
}

/// What a served connection holds.
struct Served {
    _taker: Taker,
    _global: Slot,
}

/// Connects as `Port::admit` and `establish` do: why it is refused, or what it holds, and what a dry run has said.
fn connect(
    carry: &Carry,
    snapshot: &Snapshot,
    question: &Question,
) -> Result<(Served, Option<Refusal>), Refusal> {
    let Question { peer, local, proxied, .. } = *question;
    let global = Slot::take(&carry.connections, Some(snapshot.max_connections), peer, local)?;
    let bind = &snapshot.binds[0];
    let source = Source { peer, local, proxied: None };
    let mut taker = Taker { source, passes: Passes::default(), slot: None, waved_through_for: None };
    ask(&bind.listeners[0], Known::at_accept(bind).unwrap(), &mut taker)?;
    if bind.client.proxy_protocol.is_some() {
        taker.source.proxied = proxied.map(|source| Proxied { source, destination: local });
        ask(&bind.listeners[0], Known::Source, &mut taker)?;
    }
    let said = taker.waved_through_for;
    Ok((Served { _taker: taker, _global: global }, said))
}

/// Few addresses, so that limits are met.
fn address() -> impl Strategy<Value = IpAddr> {
    (0..2_u8, 0..4_u8).prop_map(|(network, host)| Ipv4Addr::new(192, 0, 2 + network, host).into())
}

fn key() -> impl Strategy<Value = SourceKey> {
    prop_oneof![Just(SourceKey::Peer), Just(SourceKey::ProxySource)]
}

/// Tokens that do not come back while a test runs.
fn rate() -> impl Strategy<Value = Option<KeyedRate>> {
    let rate = (1..6_u32, key()).prop_map(|(burst, key)| KeyedRate {
        rate: ConnectionRate { connections: 1, unit: RateUnit::Hour, burst },
        key,
    });
    prop::option::of(rate)
}

fn networks() -> impl Strategy<Value = SourceNetworks> {
    let list = || {
        let network = (address(), 23..=32_u8)
            .prop_map(|(address, length)| IpNet::new(address, length).unwrap().trunc());
        prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(network, 0..3)]
    };
    (list(), list(), list(), key()).prop_map(|(deny, allow, exempt, key)| SourceNetworks {
        deny,
        allow,
        exempt,
        key,
    })
}

fn rules() -> impl Strategy<Value = ConnectionRules> {
    let per_source = prop::option::of((1..3_u32, key()).prop_map(|(limit, key)| SourceLimit { limit, key }));
    let per_prefix = prop::option::of((1..4_u32, key()).prop_map(|(limit, key)| PrefixLimit {
        limit,
        ipv4_prefix_length: 24,
        ipv6_prefix_length: 64,
        key,
    }));
    (networks(), per_source, per_prefix, rate(), rate(), any::<bool>()).prop_map(
        |(networks, per_source, per_prefix, source_rate, listener_rate, dry_run)| ConnectionRules {
            networks,
            per_source,
            per_prefix,
            source_rate,
            listener_rate,
            dry_run,
            ..ConnectionRules::default()
        },
    )
}

/// A connection from an address, with the source of its header, or the end of one that is open.
type Event = (IpAddr, Option<IpAddr>, Option<prop::sample::Index>);

fn events() -> impl Strategy<Value = Vec<Event>> {
    let closes = prop_oneof![3 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    prop::collection::vec((address(), prop::option::of(address()), closes), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_explained_is_what_happens(
        rules in rules(),
        limit in prop::option::of(1..5_u64),
        proxied in any::<bool>(),
        events in events(),
    ) {
        let mut client = ClientSettings::default();
        client.connection.limit = limit.map(|value| ConnectionLimit { value, close_delay: None });
        client.proxy_protocol = proxied.then_some(ProxyProtocol { optional: true });
        let mut web = listener("web", None, &Arc::new(client));
        // Whoever sends a header is believed: this is not about that.
        let rules = ConnectionRules { trusted_senders: Some(vec!["192.0.0.0/16".parse().unwrap()]), ..rules };
        web.connection = Some(Arc::new(rules));
        let (carry, snapshot) = built(vec![bind(Protocol::Http, vec![socket("0.0.0.0", PORT)], vec![web])]);
        let mut open = Vec::new();
        for (peer, source, closes) in events {
            if let Some(index) = closes.filter(|_| !open.is_empty()) {
                open.swap_remove(index.index(open.len()));
                continue;
            }
            let asked = Question {
                peer: SocketAddr::new(peer, 4711),
                local: SocketAddr::from(([198, 51, 100, 1], PORT)),
                proxied: source.filter(|_| proxied).map(|source| SocketAddr::new(source, 4712)),
                server_name: None,
            };
            let path = paths(explain(&carry, &snapshot, &asked)).remove(0);
            prop_assert_eq!(&path, &paths(explain(&carry, &snapshot, &asked))[0], "a look changes nothing");
            let refused = path.refusal().map(|(reason, _)| reason);
            let would_refuse = path.steps.iter().find_map(|step| match step.outcome {
                Outcome::WouldRefuse(reason) => Some(reason),
                _ => None,
            });
            match connect(&carry, &snapshot, &asked) {
                Ok((served, said)) => {
                    prop_assert_eq!((refused, would_refuse), (None, said.map(Refusal::reason)), "{:#?}", path);
                    open.push(served);
                }
                Err(refusal) => prop_assert_eq!(refused, Some(refusal.reason()), "{:#?}", path),
            }
        }
    }
}

#[test]
fn the_socket_is_the_one_that_the_kernel_gives_the_connection_to() {
    let client = Arc::default();
    let (carry, snapshot) = built(vec![
        bind(
            Protocol::Http,
            vec![socket("0.0.0.0", 80), socket("::", 80)],
            vec![listener("any", None, &client)],
        ),
        bind(Protocol::Http, vec![socket("192.0.2.7", 80)], vec![listener("one", None, &client)]),
        bind(Protocol::Http, vec![socket("192.0.2.7", 8080)], vec![listener("other", None, &client)]),
    ]);
    let found = |local: &str| explain(&carry, &snapshot, &question("198.51.100.9", local));
    for (local, address) in [
        ("192.0.2.7:80", "192.0.2.7:80/TCP"),
        ("192.0.2.8:80", "0.0.0.0:80/TCP"),
        ("[2001:db8::1]:80", "[::]:80/TCP"),
    ] {
        match found(local) {
            Explanation::Listener { socket, .. } => assert_eq!(socket.to_string(), address, "{local}"),
            none => panic!("{local}: {none:?}"),
        }
    }
    for (local, near) in [
        ("192.0.2.7:8081", "192.0.2.7:8080/TCP"),
        ("192.0.2.9:8080", "0.0.0.0:80/TCP"),
        ("[2001:db8::1]:8080", "[::]:80/TCP"),
    ] {
        match found(local) {
            Explanation::NoListener { nearest: Some(nearest) } => {
                assert_eq!(nearest.socket.to_string(), near, "{local}");
            }
            other => panic!("{local}: {other:?}"),
        }
    }
    let (carry, nothing) = built(Vec::new());
    let none = explain(&carry, &nothing, &question("198.51.100.9", "192.0.2.7:80"));
    assert_eq!(none, Explanation::NoListener { nearest: None });
}

#[test]
fn where_a_server_name_decides_there_is_a_way_to_each_listener() {
    let client = Arc::default();
    let listeners =
        vec![listener("shop", Some("shop.test"), &client), listener("rest", Some("*.test"), &client)];
    let (carry, snapshot) = built(vec![bind(Protocol::Https, vec![socket("0.0.0.0", 443)], listeners)]);
    let mut asked = question("198.51.100.9", "192.0.2.7:443");
    let names = |paths: Vec<Path>| -> Vec<(Option<String>, Option<&'static str>)> {
        let name = |path: &Path| path.listener.as_ref().map(ToString::to_string);
        paths.iter().map(|path| (name(path), path.refusal().map(|(reason, _)| reason))).collect()
    };
    let (shop, rest) = (Some("default/eg/shop".to_owned()), Some("default/eg/rest".to_owned()));
    let all = paths(explain(&carry, &snapshot, &asked));
    assert_eq!(all[0].hostname.as_deref(), Some("shop.test"));
    assert_eq!(names(all), [(shop.clone(), None), (rest.clone(), None)]);
    for (name, found) in [
        ("shop.test", (shop, None)),
        ("x.test", (rest, None)),
        ("x.example", (None, Some("tls_no_listener"))),
    ] {
        asked.server_name = Some(name.to_owned());
        assert_eq!(names(paths(explain(&carry, &snapshot, &asked))), [found], "{name}");
    }
}

#[test]
fn headers_are_judged_as_they_are_read() {
    let proxied = |optional| {
        let client =
            ClientSettings { proxy_protocol: Some(ProxyProtocol { optional }), ..ClientSettings::default() };
        let web = listener("web", None, &Arc::new(client));
        built(vec![bind(Protocol::Http, vec![socket("0.0.0.0", PORT)], vec![web])])
    };
    for (optional, peer, header, reason) in [
        (false, "10.0.0.1", true, None),
        (false, "10.0.0.1", false, Some("proxy_missing")),
        (true, "198.51.100.9", true, Some("proxy_untrusted")),
        (true, "198.51.100.9", false, None),
    ] {
        let (carry, snapshot) = proxied(optional);
        let mut asked = question(peer, "192.0.2.7:8080");
        asked.proxied = header.then(|| "203.0.113.1:1".parse().unwrap());
        let path = paths(explain(&carry, &snapshot, &asked)).remove(0);
        assert_eq!(path.refusal().map(|(reason, _)| reason), reason, "{path:#?}");
        assert!(path.steps.iter().any(|step| matches!(step.check, Check::Header { .. })), "{path:#?}");
    }
}
