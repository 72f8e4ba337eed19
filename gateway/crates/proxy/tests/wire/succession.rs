//! Two proxies, the one in the place of the other: sockets and counts go over, and one limit holds for both.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
};

use ir::{
    ClientSettings, ConnectionRate, ConnectionRules, Gateway, KeyedRate, RateUnit, SocketKey, SourceKey,
    SourceLimit, Tls,
};
use proxy::{Counted, Foreign, Keeper, Options, Proxy, access_log::Sink};

use crate::{backend::*, configure::*, script::*, trust::*};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n";

fn workers(count: usize) -> Proxy {
    start_with(Options { workers: Some(count), access_log: Sink::Off, ..Options::default() })
}

/// A successor that is in the same process.
#[derive(Default)]
struct Near(Mutex<Option<Foreign>>);

impl Near {
    fn with<T>(&self, work: impl FnOnce(&mut Foreign) -> T) -> Option<T> {
        self.0.lock().unwrap().as_mut().map(work)
    }

    /// As when the predecessor has ended.
    fn end(&self) {
        self.0.lock().unwrap().take();
    }
}

impl Keeper for Near {
    fn take(&self, counted: &Counted, limit: Option<u64>) -> Option<bool> {
        self.with(|foreign| foreign.take(counted, limit))
    }

    fn free(&self, counted: &Counted) {
        self.with(|foreign| foreign.free(counted));
    }

    fn spend(&self, counted: &Counted, rate: ConnectionRate) -> Option<bool> {
        self.with(|foreign| foreign.spend(counted, rate))
    }
}

fn descriptors(proxy: &Proxy) -> Vec<OwnedFd> {
    proxy
        .listening()
        .flat_map(|(_, sockets)| {
            sockets.map(|socket| socket.try_clone_to_owned().unwrap()).collect::<Vec<_>>()
        })
        .collect()
}

/// Puts `new` in the place of `old`: in the order that a hand-over has.
fn succeed(old: &Proxy, new: &mut Proxy, config: Gateway, keys: &[SocketKey]) -> Arc<Near> {
    assert!(new.adopt(descriptors(old)).is_empty());
    let prepared = new.prepare(Arc::new(config), 1);
    assert!(prepared.bind_outcomes().iter().all(|(.., outcome)| outcome.is_ok()));
    old.halt(keys);
    let near = Arc::new(Near::default());
    *near.0.lock().unwrap() = Some(new.foreign());
    for count in old.hand_over_counts(Arc::clone(&near) as Arc<dyn Keeper>) {
        near.with(|foreign| foreign.hold(&count)).unwrap();
    }
    assert!(new.publish(prepared).is_empty());
    assert_eq!(new.close_unclaimed(), []);
    near
}

fn open(proxy: &Proxy) -> u64 {
    proxy.listener_states()[0].open_connections
}

fn is_served(mut stream: &TcpStream) -> bool {
    stream.write_all(REQUEST).unwrap();
    read_head(&mut stream).is_some_and(|head| head.starts_with("HTTP/1.1 404"))
}

#[test]
fn one_limit_holds_for_both_and_every_close_makes_room() {
    let port = ReservedPort::new();
    let config = || gateway(vec![http("web", port.key(), limit(4), None)]);
    let (mut first, mut second) = (start(), start());
    publish(&mut first, config());
    let mut held: Vec<TcpStream> = (0..3).map(|_| connect(port.address())).collect();
    eventually("all are past accept", || open(&first) == 3);
    let near = succeed(&first, &mut second, config(), &[port.key()]);
    assert_eq!((open(&second), second.open_connections()), (3, 0));
    let own = connect(port.address());
    assert!(is_served(&own));
    assert_eq!((open(&first), open(&second)), (3, 4));
    assert!(is_refused(port.address()));
    held.pop();
    eventually("a close there makes room here", || open(&second) == 3);
    let more = connect(port.address());
    assert!(is_served(&more));
    assert!(is_refused(port.address()));
    near.end();
    eventually("what is left is given back with its end", || open(&second) == 2);
    drop((own, more));
    eventually("nothing is left", || open(&second) == 0);
    drop(held);
    eventually("who is told no more counts for himself", || open(&first) == 0);
    assert_eq!(open(&second), 0);
}

/// A connection that was accepted and had no listener yet takes a slot only later, at the successor.
#[test]
fn a_handshake_that_ends_after_the_hand_over_is_held_against_the_successors_count() {
    let (port, backend) = (ReservedPort::new(), Echo::start("a"));
    let certificate = certificate("default/a", &["a.test"]);
    let client = Arc::new(limit(1));
    let config = || {
        let named = |name: &str| {
            let tls = Tls { certificates: vec![Arc::clone(&certificate)], ..tls() };
            listener(name, Some(name), Some(tls), &client, Some(backend.address))
        };
        gateway(vec![https("web", port.key(), vec![named("a.test"), named("b.test")])])
    };
    let (mut first, mut second) = (workers(1), workers(1));
    publish(&mut first, config());
    let (early, late) = (connect(port.address()), connect(port.address()));
    eventually("both are past accept", || first.open_connections() == 2);
    let _near = succeed(&first, &mut second, config(), &[port.key()]);
    assert_eq!(open(&second), 0);
    let mut early = Offer::default().shake_on(early, "a.test").unwrap();
    assert_eq!((open(&first), open(&second)), (1, 1));
    assert!(Offer::default().shake_on(late, "a.test").is_err(), "one is the limit");
    assert!(Offer::default().shake(port.address(), "a.test").is_err(), "here too");
    early.write_all(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").unwrap();
    assert!(read_head(&mut early).unwrap().starts_with("HTTP/1.1 200"));
    drop(early);
    eventually("the slot is free at both", || (open(&first), open(&second)) == (0, 0));
    assert!(Offer::default().shake(port.address(), "a.test").is_ok());
}

#[test]
fn a_hand_over_that_fails_leaves_everything_as_it_was() {
    let port = ReservedPort::new();
    let config = || gateway(vec![http("web", port.key(), limit(2), None)]);
    let mut first = start();
    publish(&mut first, config());
    let held = connect(port.address());
    eventually("it is past accept", || open(&first) == 1);
    let waiting = {
        let mut second = start();
        assert!(second.adopt(descriptors(&first)).is_empty());
        let prepared = second.prepare(Arc::new(config()), 1);
        first.halt(&[port.key()]);
        let near = Arc::new(Near::default());
        *near.0.lock().unwrap() = Some(second.foreign());
        assert_eq!(first.hand_over_counts(Arc::clone(&near) as Arc<dyn Keeper>).len(), 2);
        let waiting = connect(port.address());
        near.end();
        drop(prepared);
        waiting
    };
    first.take_back_counts();
    first.resume(&[port.key()]);
    assert!(is_served(&waiting), "who has waited is served");
    assert!(is_refused(port.address()), "the limit is reached");
    drop((waiting, held));
    eventually("every slot is free", || open(&first) == 0 && first.open_connections() == 0);
}

/// Closing a socket would reset its queue, so that one more than there are workers is served by one that has another.
#[test]
fn what_is_queued_is_served_whatever_the_number_of_workers_was() {
    for (before, after) in [(3, 1), (4, 3), (1, 3), (2, 2)] {
        let port = ReservedPort::new();
        let config = || gateway(vec![http("web", port.key(), ClientSettings::default(), None)]);
        let (mut first, mut second) = (workers(before), workers(after));
        publish(&mut first, config());
        first.halt(&[port.key()]);
        let queued: Vec<TcpStream> = (0..40).map(|_| connect(port.address())).collect();
        let _near = succeed(&first, &mut second, config(), &[port.key()]);
        assert!(first.retire(PATIENCE), "nothing was accepted there");
        assert!(queued.iter().all(is_served), "{before} to {after}");
        assert_eq!(second.open_connections(), 40);
    }
}

#[test]
fn sockets_that_no_listener_has_are_closed_and_strange_ones_given_back() {
    let (port, gone) = (ReservedPort::new(), ReservedPort::new());
    let bind = |port: &ReservedPort| http("web", port.key(), ClientSettings::default(), None);
    let (mut first, mut second) = (start(), start());
    publish(&mut first, gateway(vec![bind(&port), http("gone", gone.key(), limit(1), None)]));
    let strange = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(second.adopt([OwnedFd::from(strange)]).len(), 1);
    assert!(second.adopt(descriptors(&first)).is_empty());
    publish(&mut second, gateway(vec![bind(&port)]));
    assert_eq!(second.close_unclaimed(), [gone.key()]);
    first.halt(&[port.key()]);
    assert!(is_served(&connect(gone.address())), "who was not halted goes on until he is drained");
    assert!(first.retire(PATIENCE));
    assert!(TcpStream::connect(gone.address()).is_err());
    assert!(is_served(&connect(port.address())));
}

#[test]
fn a_connection_that_waits_may_have_one_more_request() {
    let port = ReservedPort::new();
    let mut first = start();
    publish(&mut first, gateway(vec![http("web", port.key(), ClientSettings::default(), None)]));
    let (mut idle, silent) = (connect(port.address()), connect(port.address()));
    assert!(is_served(&idle));
    eventually("both are past accept", || first.open_connections() == 2);
    first.halt(&[port.key()]);
    let retiring = std::thread::spawn(move || first.retire(PATIENCE));
    // Told that it is the last: sooner or later, for the workers are told meanwhile.
    let mut next = silent;
    for stream in [&mut idle, &mut next] {
        loop {
            stream.write_all(REQUEST).unwrap();
            let head = read_head(stream).expect("nobody is closed before an answer has said so");
            let _body = read_exactly(stream, length(&head));
            if head.to_ascii_lowercase().contains("connection: close") {
                break;
            }
        }
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0, "then it is closed, and not reset");
    }
    assert!(retiring.join().unwrap());
}

fn length(head: &str) -> usize {
    let field = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    field.unwrap_or(0)
}

fn policed(port: &ReservedPort, rules: ConnectionRules) -> Gateway {
    let mut bind = http("web", port.key(), ClientSettings::default(), None);
    Arc::make_mut(&mut bind.listeners[0]).connection = Some(Arc::new(rules));
    gateway(vec![bind])
}

#[test]
fn sources_are_counted_over_both() {
    let port = ReservedPort::new();
    let per_source = Some(SourceLimit { limit: 3, key: SourceKey::Peer });
    let config = || policed(&port, ConnectionRules { per_source, ..ConnectionRules::default() });
    let (mut first, mut second, mut third) = (start(), start(), start());
    publish(&mut first, config());
    let mut held: Vec<TcpStream> = (0..2).map(|_| connect(port.address())).collect();
    eventually("both are past accept", || open(&first) == 2);
    let _near = succeed(&first, &mut second, config(), &[port.key()]);
    let own = connect(port.address());
    assert!(is_served(&own));
    assert!(is_refused(port.address()));
    // Once more: what the first tells the second goes on to the third.
    let _nearer = succeed(&second, &mut third, config(), &[port.key()]);
    assert!(is_refused(port.address()));
    held.pop();
    eventually("a close there makes room", || open(&third) == 2);
    let more = connect(port.address());
    assert!(is_served(&more));
    assert!(is_refused(port.address()));
    drop((own, more, held));
    eventually("nothing is left", || [&first, &second, &third].iter().all(|proxy| open(proxy) == 0));
}

#[test]
fn a_bucket_is_not_full_again_by_a_hand_over() {
    let port = ReservedPort::new();
    let rate = ConnectionRate { connections: 1, unit: RateUnit::Hour, burst: 2 };
    let rate = Some(KeyedRate { rate, key: SourceKey::Peer });
    for rules in [
        ConnectionRules { listener_rate: rate, ..ConnectionRules::default() },
        ConnectionRules { source_rate: rate, ..ConnectionRules::default() },
    ] {
        let config = || policed(&port, rules.clone());
        let (mut first, mut second) = (start(), start());
        publish(&mut first, config());
        assert!(is_served(&connect(port.address())));
        let _near = succeed(&first, &mut second, config(), &[port.key()]);
        assert!(is_served(&connect(port.address())));
        assert!(is_refused(port.address()), "{rules:?}");
    }
}

fn tls() -> Tls {
    Tls {
        certificates: Vec::new(),
        min: ir::TlsVersion::V1_2,
        max: ir::TlsVersion::V1_3,
        ciphers: ir::CipherSuites::default(),
        alpn: vec!["http/1.1".into()],
        client_validation: None,
    }
}
