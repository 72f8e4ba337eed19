//! What a connection limit means.

use std::{
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use ir::ClientSettings;
use proxy::Proxy;
use socket2::SockRef;

use crate::configure::*;

fn open(proxy: &Proxy) -> u64 {
    proxy.listener_states()[0].open_connections
}

fn served(proxy: &mut Proxy, client: ClientSettings) -> (ReservedPort, SocketAddr) {
    let port = ReservedPort::new();
    publish(proxy, gateway(vec![http("web", port.key(), client, None)]));
    let address = port.address();
    (port, address)
}

/// Opens connections until `count` are past accept, and says so by number.
fn hold(proxy: &Proxy, address: SocketAddr, count: u64) -> Vec<TcpStream> {
    let held: Vec<TcpStream> = (0..count).map(|_| connect(address)).collect();
    eventually("all connections are past accept", || open(proxy) >= count);
    held
}

#[test]
fn never_more_than_the_limit_are_past_accept() {
    let mut proxy = start();
    let (_port, address) = served(&mut proxy, limit(5));
    let (highest, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                highest.fetch_max(open(&proxy), Ordering::Relaxed);
            }
        });
        let clients: Vec<_> = (0..4)
            .map(|client| {
                scope.spawn(move || {
                    for round in 0..300 {
                        // Refused may be as early as in `connect`.
                        let Ok(stream) = TcpStream::connect_timeout(&address, PATIENCE) else { continue };
                        // Half of them vanish by reset.
                        if (client + round) % 2 == 0 {
                            let _ = SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO));
                        }
                    }
                })
            })
            .collect();
        let ended: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        // Before any of them is looked at: a failure must not leave the watcher running.
        stop.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok));
    });
    assert!(highest.into_inner() <= 5);
    eventually("every slot is free again", || open(&proxy) == 0 && proxy.open_connections() == 0);
}

#[test]
fn over_the_limit_is_reset_and_a_close_makes_room() {
    let mut proxy = start();
    let (_port, address) = served(&mut proxy, limit(3));
    let mut held = hold(&proxy, address, 3);
    for _ in 0..20 {
        assert!(is_refused(address));
    }
    assert_eq!(open(&proxy), 3);
    held.pop();
    eventually("the slot is free", || open(&proxy) == 2);
    held.extend(hold(&proxy, address, 1));
    eventually("the new connection has it", || open(&proxy) == 3);
    assert!(is_refused(address));
}

#[test]
fn a_lower_limit_closes_nothing_and_refuses_until_the_count_has_fallen() {
    let mut proxy = start();
    let (port, address) = served(&mut proxy, limit(4));
    let mut held = hold(&proxy, address, 4);
    publish(&mut proxy, gateway(vec![http("web", port.key(), limit(2), None)]));
    assert_eq!(open(&proxy), 4);
    assert!(is_refused(address));
    held.truncate(2);
    eventually("two are closed", || open(&proxy) == 2);
    assert!(is_refused(address));
    held.truncate(1);
    eventually("another is closed", || open(&proxy) == 1);
    held.extend(hold(&proxy, address, 1));
    eventually("there is room for one", || open(&proxy) == 2);
}

#[test]
fn the_global_cap_holds_over_all_listeners() {
    let mut proxy = start();
    let (first, second) = (ReservedPort::new(), ReservedPort::new());
    let mut config = gateway(vec![
        http("one", first.key(), ClientSettings::default(), None),
        http("two", second.key(), ClientSettings::default(), None),
    ]);
    config.appliance.max_connections = 2;
    publish(&mut proxy, config);
    let _held = [connect(first.address()), connect(second.address())];
    eventually("both are past accept", || proxy.open_connections() == 2);
    assert!(is_refused(first.address()));
    assert!(is_refused(second.address()));
}
