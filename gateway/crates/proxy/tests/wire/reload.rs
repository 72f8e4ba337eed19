//! What a reload leaves alone, and what it ends.

use std::{fs, net::SocketAddr, sync::Arc};

use ir::{ClientSettings, TcpKeepalive};

use crate::configure::*;

/// Inodes of the sockets that listen on an IPv4 address, as the kernel lists them.
fn listening(address: SocketAddr) -> Vec<String> {
    let SocketAddr::V4(address) = address else { panic!("IPv4 expected") };
    let local = format!("{:08X}:{:04X}", u32::from_le_bytes(address.ip().octets()), address.port());
    let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let mut inodes: Vec<String> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[1] == local && fields[3] == "0A")
        .map(|fields| fields[9].to_owned())
        .collect();
    inodes.sort();
    inodes
}

#[test]
fn an_untouched_listener_keeps_its_very_sockets() {
    let mut proxy = start();
    let (kept, added) = (ReservedPort::new(), ReservedPort::new());
    let bind = |client| http("kept", kept.key(), client, None);
    publish(&mut proxy, gateway(vec![bind(ClientSettings::default())]));
    let before = listening(kept.address());
    assert_eq!(before.len(), 2, "one per worker");

    publish(
        &mut proxy,
        gateway(vec![bind(limit(7)), http("added", added.key(), ClientSettings::default(), None)]),
    );
    assert_eq!(listening(kept.address()), before);
    assert_eq!(listening(added.address()).len(), 2);

    let keepalive = TcpKeepalive { probes: Some(3), ..TcpKeepalive::default() };
    publish(
        &mut proxy,
        gateway(vec![bind(ClientSettings { tcp_keepalive: Some(keepalive), ..ClientSettings::default() })]),
    );
    assert_eq!(listening(kept.address()), before);
    eventually("the removed listener's sockets are closed", || listening(added.address()).is_empty());
    assert_eq!(proxy.generation(), 3);
}

#[test]
fn a_removed_listener_closes_and_others_go_on() {
    let mut proxy = start();
    let (kept, removed) = (ReservedPort::new(), ReservedPort::new());
    let bind = |name, port: &ReservedPort| http(name, port.key(), ClientSettings::default(), None);
    publish(&mut proxy, gateway(vec![bind("kept", &kept), bind("removed", &removed)]));
    let stays = connect(kept.address());
    let mut goes = connect(removed.address());
    eventually("both are past accept", || proxy.open_connections() == 2);

    publish(&mut proxy, gateway(vec![bind("kept", &kept)]));
    assert!(!is_reset(&mut goes), "an idle connection of a removed listener ends in order");
    eventually("only the other is left", || proxy.open_connections() == 1);
    eventually("nothing listens there", || listening(removed.address()).is_empty());
    assert!(std::net::TcpStream::connect(removed.address()).is_err());
    stays.set_nonblocking(true).unwrap();
    assert_eq!(stays.peek(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_removed_listener_can_come_back_while_it_drains() {
    let mut proxy = start();
    let port = ReservedPort::new();
    let bind = || http("web", port.key(), ClientSettings::default(), None);
    for _ in 0..20 {
        publish(&mut proxy, gateway(vec![bind()]));
        let _client = connect(port.address());
        publish(&mut proxy, gateway(vec![]));
    }
    publish(&mut proxy, gateway(vec![bind()]));
    eventually("the old sockets are gone", || listening(port.address()).len() == 2);
    let _client = connect(port.address());
    eventually("it is served again", || proxy.listener_states()[0].open_connections == 1);
}

#[test]
fn a_socket_that_cannot_be_bound_is_an_outcome_and_the_others_are_served() {
    let mut proxy = start();
    // Not shareable, and listening: nobody else can bind there.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = ReservedPort::new();
    let config = Arc::new(gateway(vec![
        http("free", free.key(), ClientSettings::default(), None),
        http("taken", key(taken.local_addr().unwrap()), ClientSettings::default(), None),
    ]));
    let prepared = proxy.prepare(Arc::clone(&config), 1);
    let outcomes: Vec<_> =
        prepared.bind_outcomes().iter().map(|(bind, _, outcome)| (bind.clone(), outcome.is_ok())).collect();
    assert_eq!(outcomes, [(bind_id("free"), true), (bind_id("taken"), false)]);
    assert!(proxy.publish(prepared).is_empty());
    let _client = connect(free.address());
    eventually("the free one is served", || proxy.open_connections() == 1);

    // The next reload tries again.
    drop(taken);
    let prepared = proxy.prepare(config, 2);
    assert!(prepared.bind_outcomes().iter().all(|(.., outcome)| outcome.is_ok()));
}

#[test]
fn both_families_are_served_and_a_wildcard_takes_no_other_family() {
    let mut proxy = start();
    let port = ReservedPort::at("::".parse().unwrap());
    publish(&mut proxy, gateway(vec![http("six", port.key(), ClientSettings::default(), None)]));
    let six = SocketAddr::new("::1".parse().unwrap(), port.address().port());
    let four = SocketAddr::new("127.0.0.1".parse().unwrap(), port.address().port());
    let _client = connect(six);
    eventually("IPv6 is served", || proxy.open_connections() == 1);
    assert!(std::net::TcpStream::connect(four).is_err());
}

#[test]
fn draining_serves_what_is_queued_and_ends_when_the_last_connection_closes() {
    let mut proxy = start();
    let port = ReservedPort::new();
    publish(&mut proxy, gateway(vec![http("web", port.key(), ClientSettings::default(), None)]));
    let clients: Vec<_> = (0..10).map(|_| connect(port.address())).collect();
    eventually("all are past accept", || proxy.open_connections() == 10);
    assert!(proxy.drain(PATIENCE), "idle connections end at once");
    for mut client in clients {
        assert!(!is_reset(&mut client));
    }
    assert!(std::net::TcpStream::connect(port.address()).is_err());
}
