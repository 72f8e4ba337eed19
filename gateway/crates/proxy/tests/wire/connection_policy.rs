//! What a connection policy means: who is refused, why, and how.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use ir::{
    AccessLogFormat, ClientSettings, ConnectionLimit, ConnectionRate, ConnectionRules, KeyedRate,
    PrefixLimit, ProxyProtocol, RateUnit, RefusalAction, SourceKey, SourceLimit, SourceNetworks,
};
use prometheus::TextEncoder;
use proxy::{Options, Proxy, Seen, Sources, access_log::Sink};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::configure::*;

const ANSWER: &[u8] = b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";

struct Served {
    proxy: Proxy,
    port: ReservedPort,
    lines: Receiver<String>,
}

/// A connection that was served, or the reason why it was not.
type Outcome = Result<TcpStream, String>;

impl Served {
    fn new(rules: ConnectionRules) -> Self {
        Self::with(rules, ClientSettings::default(), ReservedPort::new())
    }

    fn with(rules: ConnectionRules, client: ClientSettings, port: ReservedPort) -> Self {
        let (sender, lines) = channel();
        let options = Options { workers: Some(2), access_log: Sink::Channel(sender), ..Options::default() };
        let mut served = Self { proxy: start_with(options), port, lines };
        served.publish(Some(rules), client);
        served
    }

    fn publish(&mut self, rules: Option<ConnectionRules>, client: ClientSettings) {
        let config = self.config(rules, client);
        publish(&mut self.proxy, config);
    }

    fn config(&self, rules: Option<ConnectionRules>, client: ClientSettings) -> ir::Gateway {
        let mut bind = http("web", self.port.key(), client, None);
        let listener = Arc::make_mut(&mut bind.listeners[0]);
        listener.connection = rules.map(Arc::new);
        listener.policies.connection = Some(ir::PolicyName("default/sources".into()));
        let mut config = gateway(vec![bind]);
        config.appliance.log_format = AccessLogFormat::Json;
        config
    }

    /// Connects from an address, sends bytes and a request: the stream once it is answered, else why not.
    fn ask(&self, from: &str, before: &[u8]) -> Outcome {
        let mut stream = connect_from(from, self.port.address()).map_err(|()| self.refusal())?;
        // Who is refused may be gone before all of it is sent.
        let sent = stream.write_all(before).and_then(|()| stream.write_all(ANSWER));
        let mut first = [0; 12];
        match sent.and_then(|()| stream.read_exact(&mut first)) {
            Ok(()) => {
                assert_eq!(&first, b"HTTP/1.1 404");
                let line = self.line();
                assert_eq!(line["status"], 404, "{line}");
                Ok(stream)
            }
            Err(_) => Err(self.refusal()),
        }
    }

    fn from(&self, address: &str) -> Outcome {
        self.ask(address, b"")
    }

    fn line(&self) -> Value {
        serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap()
    }

    fn refusal(&self) -> String {
        let line = self.line();
        line["refused"].as_str().unwrap_or_else(|| panic!("{line}")).to_owned()
    }

    fn value(&self, series: &str) -> f64 {
        let page = TextEncoder::new().encode_to_string(&self.proxy.metrics().gather()).unwrap();
        let line = page.lines().find(|line| line.starts_with(series));
        line.map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    fn tracked(&self) -> f64 {
        self.value("gateway_tracked_sources ")
    }
}

/// `Err`: reset before `connect` has returned.
fn connect_from(from: &str, to: SocketAddr) -> Result<TcpStream, ()> {
    let from = SocketAddr::new(from.parse().unwrap(), 0);
    let socket = Socket::new(Domain::for_address(from), Type::STREAM, None).unwrap();
    socket.bind(&from.into()).unwrap();
    match socket.connect_timeout(&to.into(), PATIENCE) {
        Ok(()) => {}
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
            return Err(());
        }
    }
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Ok(stream)
}

fn reason(outcome: Outcome) -> String {
    outcome.map_or_else(|reason| reason, |_| "served".to_owned())
}

fn per_source(limit: u32, key: SourceKey) -> ConnectionRules {
    ConnectionRules { per_source: Some(SourceLimit { limit, key }), ..ConnectionRules::default() }
}

/// Tokens that do not come back while a test runs.
fn once_an_hour(burst: u32) -> Option<KeyedRate> {
    let rate = ConnectionRate { connections: 1, unit: RateUnit::Hour, burst };
    Some(KeyedRate { rate, key: SourceKey::Peer })
}

fn networks(list: &[&str]) -> Vec<ipnet::IpNet> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

fn proxied() -> ClientSettings {
    ClientSettings { proxy_protocol: Some(ProxyProtocol { optional: true }), ..ClientSettings::default() }
}

#[test]
fn a_source_has_so_many_connections_and_a_close_makes_room() {
    let served = Served::new(per_source(2, SourceKey::Peer));
    let mut held: Vec<TcpStream> = (0..2).map(|_| served.from("127.0.0.2").unwrap()).collect();
    for _ in 0..5 {
        assert_eq!(reason(served.from("127.0.0.2")), "over_source_limit");
    }
    let _other = served.from("127.0.0.3").unwrap();
    held.pop();
    eventually("the slot is free", || served.proxy.listener_states()[0].open_connections == 2);
    held.push(served.from("127.0.0.2").unwrap());
    assert_eq!(reason(served.from("127.0.0.2")), "over_source_limit");
    let refused = r#"gateway_connections_refused_total{listener="default/eg/web",tier="accept",reason="over_source_limit",policy="default/sources"}"#;
    assert_eq!(served.value(refused), 6.0);
    assert_eq!(served.tracked(), 2.0);
}

#[test]
fn a_prefix_counts_together_in_both_families() {
    let rules = |ipv4_prefix_length, ipv6_prefix_length| ConnectionRules {
        per_prefix: Some(PrefixLimit {
            limit: 2,
            ipv4_prefix_length,
            ipv6_prefix_length,
            key: SourceKey::Peer,
        }),
        ..ConnectionRules::default()
    };
    let served = Served::new(rules(24, 64));
    let _held = [served.from("127.0.5.1").unwrap(), served.from("127.0.5.2").unwrap()];
    assert_eq!(reason(served.from("127.0.5.3")), "over_prefix_limit");
    assert_eq!(reason(served.from("127.0.6.3")), "served");
    let port = ReservedPort::at(IpAddr::from(std::net::Ipv6Addr::LOCALHOST));
    let served = Served::with(rules(24, 128), ClientSettings::default(), port);
    let _held = [served.from("::1").unwrap(), served.from("::1").unwrap()];
    assert_eq!(reason(served.from("::1")), "over_prefix_limit");
}

#[test]
fn rates_are_of_a_source_and_of_the_listener() {
    let rules = ConnectionRules {
        source_rate: once_an_hour(2),
        listener_rate: once_an_hour(5),
        ..ConnectionRules::default()
    };
    let mut served = Served::new(rules.clone());
    let ask = |served: &Served, from: &str| reason(served.from(from));
    assert_eq!([0; 3].map(|_| ask(&served, "127.0.0.2")), ["served", "served", "over_source_rate"]);
    assert_eq!([0; 3].map(|_| ask(&served, "127.0.0.3")), ["served", "served", "over_source_rate"]);
    assert_eq!([0; 2].map(|_| ask(&served, "127.0.0.4")), ["served", "over_listener_rate"]);
    // What is spent outlives a reload.
    served.publish(Some(rules), ClientSettings::default());
    assert_eq!(ask(&served, "127.0.0.2"), "over_source_rate");
    assert_eq!(ask(&served, "127.0.0.5"), "over_listener_rate");
}

#[test]
fn lists_decide_before_limits_and_exempt_frees_from_limits_alone() {
    let served = Served::new(ConnectionRules {
        networks: SourceNetworks {
            deny: networks(&["127.0.1.0/24"]),
            allow: networks(&["127.0.0.0/16"]),
            exempt: networks(&["127.0.1.1/32", "127.0.2.0/24"]),
            key: SourceKey::Peer,
        },
        source_rate: once_an_hour(1),
        ..ConnectionRules::default()
    });
    for (address, outcome) in [
        ("127.0.1.1", "source_denied"),
        ("127.1.0.1", "source_not_allowed"),
        ("127.0.0.9", "served"),
        ("127.0.0.9", "over_source_rate"),
        ("127.0.2.1", "served"),
        ("127.0.2.1", "served"),
    ] {
        assert_eq!(reason(served.from(address)), outcome, "{address}");
    }
}

#[test]
fn a_dry_run_says_what_it_would_do_and_serves() {
    let rules = ConnectionRules { dry_run: true, ..per_source(1, SourceKey::Peer) };
    let mut served = Served::new(rules);
    let first = served.from("127.0.0.2").unwrap();
    for _ in 0..3 {
        let mut stream = connect_from("127.0.0.2", served.port.address()).unwrap();
        stream.write_all(ANSWER).unwrap();
        let line = served.line();
        assert_eq!(line["would_refuse"], "over_source_limit", "{line}");
        assert_eq!(line["refused"], Value::Null, "{line}");
        stream.read_exact(&mut [0; 12]).unwrap();
        assert_eq!(served.line()["status"], 404);
    }
    let labels =
        r#"{listener="default/eg/web",tier="accept",reason="over_source_limit",policy="default/sources"}"#;
    assert_eq!(served.value(&format!("gateway_connections_dry_run_refused_total{labels}")), 3.0);
    assert_eq!(served.value(&format!("gateway_connections_refused_total{labels}")), 0.0);
    drop(first);
    eventually("all are closed", || served.proxy.open_connections() == 0);
    assert_eq!(served.tracked(), 0.0);
    // In earnest.
    served.publish(Some(per_source(1, SourceKey::Peer)), ClientSettings::default());
    let _first = served.from("127.0.0.2").unwrap();
    assert_eq!(reason(served.from("127.0.0.2")), "over_source_limit");
}

#[test]
fn the_source_in_a_header_counts_once_the_header_is_read() {
    let served = Served::with(per_source(1, SourceKey::ProxySource), proxied(), ReservedPort::new());
    let header = |last: u8| format!("PROXY TCP4 203.0.113.{last} 198.51.100.1 1 2\r\n").into_bytes();
    let one = served.ask("127.0.0.1", &header(1)).unwrap();
    let _two = served.ask("127.0.0.1", &header(2)).unwrap();
    assert_eq!(reason(served.ask("127.0.0.1", &header(1))), "over_source_limit");
    // Without a header the peer is the source.
    let _peer = served.from("127.0.0.1").unwrap();
    assert_eq!(reason(served.from("127.0.0.1")), "over_source_limit");
    drop(one);
    eventually("it is closed", || served.proxy.listener_states()[0].open_connections == 2);
    assert_eq!(reason(served.ask("127.0.0.1", &header(1))), "served");
}

/// Whom it was told of last, and what.
#[derive(Default)]
struct Told(Mutex<Vec<(ipnet::IpNet, bool)>>);

impl Sources for Told {
    fn header(&self, _: SocketAddr, _: SocketAddr) -> Option<Seen> {
        None
    }

    fn mark(&self, _: &ir::ListenerId, network: ipnet::IpNet, full: bool) {
        self.0.lock().unwrap().push((network, full));
    }
}

#[test]
fn those_below_are_told_who_is_full_and_nothing_of_rules_before() {
    let rules = |limit| per_source(limit, SourceKey::ProxySource);
    let mut served = Served::with(rules(1), proxied(), ReservedPort::new());
    let below = Arc::new(Told::default());
    served.proxy.consult(Arc::clone(&below) as Arc<dyn Sources>);
    let told = || below.0.lock().unwrap().clone();
    let header = b"PROXY TCP4 203.0.113.1 198.51.100.1 1 2\r\n";
    let source = "203.0.113.1/32".parse().unwrap();
    let _one = served.ask("127.0.0.1", header).unwrap();
    assert_eq!(told(), []);
    assert_eq!(reason(served.ask("127.0.0.1", header)), "over_source_limit");
    assert_eq!(told(), [(source, true)]);

    // Nothing changes for clients before it is published, and who is refused till then is told of.
    let config = served.config(Some(rules(2)), proxied());
    let prepared = served.proxy.prepare(Arc::new(config), 2);
    assert_eq!(reason(served.ask("127.0.0.1", header)), "over_source_limit");
    assert!(served.proxy.publish(prepared).is_empty());
    assert_eq!(told().last(), Some(&(source, false)));
    let _two = served.ask("127.0.0.1", header).unwrap();
    assert_eq!(told().last(), Some(&(source, false)), "there was room");
    assert_eq!(reason(served.ask("127.0.0.1", header)), "over_source_limit");
    assert_eq!(told().last(), Some(&(source, true)));
}

#[test]
fn every_limit_and_every_list_goes_by_the_source_of_a_header() {
    let key = SourceKey::ProxySource;
    let hourly = once_an_hour(1).map(|rate| KeyedRate { key, ..rate });
    let lists = |deny: &[&str], allow: &[&str], exempt: &[&str]| SourceNetworks {
        deny: networks(deny),
        allow: networks(allow),
        exempt: networks(exempt),
        key,
    };
    let prefix = PrefixLimit { limit: 1, ipv4_prefix_length: 24, ipv6_prefix_length: 64, key };
    let none = ConnectionRules::default;
    let table = [
        (ConnectionRules { networks: lists(&["203.0.113.2/32"], &[], &[]), ..none() }, "source_denied"),
        (ConnectionRules { networks: lists(&[], &["203.0.113.1/32"], &[]), ..none() }, "source_not_allowed"),
        (ConnectionRules { per_prefix: Some(prefix), ..none() }, "over_prefix_limit"),
        (ConnectionRules { listener_rate: hourly, ..none() }, "over_listener_rate"),
    ];
    let header = |last: u8| format!("PROXY TCP4 203.0.113.{last} 198.51.100.1 1 2\r\n").into_bytes();
    for (rules, refused) in table {
        let served = Served::with(rules, proxied(), ReservedPort::new());
        let _first = served.ask("127.0.0.1", &header(1)).unwrap();
        assert_eq!(reason(served.ask("127.0.0.1", &header(2))), refused);
        let labels = format!(
            "{{listener=\"default/eg/web\",tier=\"accept\",reason=\"{refused}\",policy=\"default/sources\"}}"
        );
        eventually("it is counted", || {
            served.value(&format!("gateway_connections_refused_total{labels}")) == 1.0
        });
    }
    let rules = ConnectionRules {
        networks: lists(&[], &[], &["203.0.113.9/32"]),
        source_rate: hourly,
        ..ConnectionRules::default()
    };
    let served = Served::with(rules, proxied(), ReservedPort::new());
    for (last, outcome) in
        [(1, "served"), (1, "over_source_rate"), (2, "served"), (9, "served"), (9, "served")]
    {
        assert_eq!(reason(served.ask("127.0.0.1", &header(last))), outcome, "203.0.113.{last}");
    }
}

#[test]
fn a_listener_has_trusted_senders_of_its_own() {
    let rules =
        ConnectionRules { trusted_senders: Some(networks(&["127.0.0.8/32"])), ..ConnectionRules::default() };
    let served = Served::with(rules, proxied(), ReservedPort::new());
    let header = b"PROXY TCP4 203.0.113.1 198.51.100.1 1 2\r\n";
    assert_eq!(reason(served.ask("127.0.0.8", header)), "served");
    assert_eq!(reason(served.ask("127.0.0.1", header)), "proxy_untrusted");
}

#[test]
fn who_is_refused_with_a_delay_is_held_and_closed_without_a_word() {
    let delay = Duration::from_millis(50);
    let mut client = limit(1);
    client.connection.limit = Some(ConnectionLimit { value: 1, close_delay: Some(delay) });
    let rules =
        ConnectionRules { action: RefusalAction::CloseAfterDelay(delay), ..per_source(1, SourceKey::Peer) };
    for (rules, client, reason) in [
        (ConnectionRules::default(), client, "over_connection_limit"),
        (rules, ClientSettings::default(), "over_source_limit"),
    ] {
        let served = Served::with(rules, client, ReservedPort::new());
        let _first = served.from("127.0.0.2").unwrap();
        let mut stream = connect_from("127.0.0.2", served.port.address()).unwrap();
        let started = std::time::Instant::now();
        stream.write_all(ANSWER).unwrap();
        assert_eq!(served.refusal(), reason);
        assert_eq!(served.proxy.open_connections(), 1, "what is held is not past accept");
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "an orderly end");
        assert!(started.elapsed() >= delay - Duration::from_millis(5));
    }
}

#[test]
fn held_sockets_have_a_cap_beyond_which_there_is_a_reset() {
    let (sender, lines) = channel();
    // An eighth of these may be held: one.
    let options = Options { workers: Some(1), access_log: Sink::Channel(sender), descriptor_cap: Some(15) };
    let mut served = Served { proxy: start_with(options), port: ReservedPort::new(), lines };
    let rules = ConnectionRules {
        action: RefusalAction::CloseAfterDelay(PATIENCE * 100),
        ..per_source(1, SourceKey::Peer)
    };
    served.publish(Some(rules), ClientSettings::default());
    let _first = served.from("127.0.0.2").unwrap();
    let held = connect_from("127.0.0.2", served.port.address()).unwrap();
    assert_eq!(served.refusal(), "over_source_limit");
    assert_eq!(reason(served.from("127.0.0.2")), "over_source_limit");
    drop(held);
    // With its client's end a held socket makes room: the next is held and not reset.
    eventually("there is room", || {
        let Ok(mut next) = connect_from("127.0.0.2", served.port.address()) else {
            served.refusal();
            return false;
        };
        assert_eq!(served.refusal(), "over_source_limit");
        next.set_nonblocking(true).unwrap();
        matches!(next.read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    });
    assert!(served.proxy.drain(PATIENCE), "nobody waits for what is held");
}

#[test]
fn counts_go_on_over_reloads_and_end_at_zero() {
    let mut served = Served::new(per_source(2, SourceKey::Peer));
    let held: Vec<TcpStream> = (0..2).map(|_| served.from("127.0.0.2").unwrap()).collect();
    served.publish(Some(per_source(1, SourceKey::Peer)), ClientSettings::default());
    assert_eq!(reason(served.from("127.0.0.2")), "over_source_limit");
    served.publish(None, ClientSettings::default());
    assert_eq!(reason(served.from("127.0.0.2")), "served");
    served.publish(Some(per_source(3, SourceKey::Peer)), ClientSettings::default());
    let more = served.from("127.0.0.2").unwrap();
    assert_eq!(reason(served.from("127.0.0.2")), "over_source_limit");
    drop((held, more));
    eventually("all are closed", || served.proxy.open_connections() == 0);
    assert_eq!(served.tracked(), 0.0);
}

#[test]
fn never_more_than_the_limit_of_a_source_are_past_accept() {
    let mut served = Served::new(per_source(3, SourceKey::Peer));
    // One source only, so that the listener's count is its count.
    served.publish(Some(per_source(3, SourceKey::Peer)), ClientSettings::default());
    let (highest, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (proxy, address) = (&served.proxy, served.port.address());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let open = proxy.listener_states()[0].open_connections;
                highest.fetch_max(usize::try_from(open).unwrap(), Ordering::Relaxed);
            }
        });
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(move || {
                    for round in 0..200 {
                        let Ok(stream) = connect_from("127.0.0.2", address) else { continue };
                        if round % 2 == 0 {
                            let linger = Some(Duration::ZERO);
                            let _ = socket2::SockRef::from(&stream).set_linger(linger);
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
    assert!(highest.into_inner() <= 3);
    eventually("every slot is free again", || {
        served.proxy.open_connections() == 0 && served.tracked() == 0.0
    });
}
