//! The connection limit, once per tier: held while connections are opened, aborted and flooded; freed when
//! they close; kept by the kernel while the process is dead.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use e2e::{
    dial,
    gateway::Gateway,
    http::Connection,
    netns::{GATEWAY, GATEWAY6},
    wait,
};

use crate::cafe::{Cafe, PORT, appliance, limited};

const LIMIT: usize = 10;

struct Tier {
    name: &'static str,
    kernel: &'static str,
}

const XDP: Tier = Tier { name: "xdp", kernel: "{mode: Require, interfaces: [gw0]}" };
const TC: Tier = Tier { name: "tc", kernel: "{mode: Require, interfaces: [gw0], tiers: [TC]}" };
const ACCEPT: Tier = Tier { name: "accept", kernel: "{mode: Off}" };

fn open(tier: &Tier) -> Option<Cafe> {
    let limit = limited(LIMIT);
    Cafe::open(&[("appliance.yaml", appliance(tier.kernel)), ("limit.yaml", limit)], &[])
}

/// Established connections with the gateway's port, as the kernel's own socket table of the namespace says.
fn established(cafe: &Cafe) -> usize {
    cafe.wire.gateway.run(|| {
        ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"]
            .iter()
            .map(|table| std::fs::read_to_string(table).unwrap_or_default())
            .map(|table| {
                let local = format!(":{PORT:04X} ");
                let mine = table.lines().skip(1).filter(|line| line.contains(&local));
                mine.filter(|line| line.split_whitespace().nth(3) == Some("01")).count()
            })
            .sum()
    })
}

fn attempt(address: &str, patience: Duration) -> std::io::Result<TcpStream> {
    let address: SocketAddr = SocketAddr::new(address.parse().expect("an address"), PORT);
    TcpStream::connect_timeout(&address, patience)
}

/// Fills the limit with connections that have been served once.
fn fill(cafe: &Cafe) -> Vec<Connection> {
    let mut held: Vec<Connection> = (0..LIMIT)
        .map(|n| if n % 2 == 0 { cafe.connect() } else { cafe.connect6() }.expect("below the limit"))
        .collect();
    for connection in &mut held {
        assert_eq!(connection.get("cafe.example.com", "/").expect("served").status, 200);
    }
    held
}

/// One more connection, and what became of it.
fn one_more(cafe: &Cafe, address: &str) -> Outcome {
    cafe.wire.client.run(|| match attempt(address, Duration::from_millis(300)) {
        Ok(stream) => match Connection::from(stream).get("cafe.example.com", "/") {
            Ok(_) => Outcome::Served,
            Err(_) => Outcome::Closed,
        },
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Outcome::Reset,
        Err(error) if error.kind() == ErrorKind::TimedOut => Outcome::Dropped,
        Err(_) => Outcome::Closed,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Served,
    /// The SYN was answered with a RST.
    Reset,
    /// The SYN was not answered.
    Dropped,
    /// Accepted, then closed or reset.
    Closed,
}

fn held_and_freed(tier: &Tier, refused_as: Outcome) {
    let Some(cafe) = open(tier) else { return };
    let held = fill(&cafe);
    for address in [GATEWAY, GATEWAY6] {
        assert_eq!(one_more(&cafe, address), refused_as, "{address} {}", cafe.gateway.log());
    }
    // A client may see its reset before the worker that sent it has counted it.
    wait::until("both refusals are counted", || {
        let labels = ["listener=\"default/eg/http\"", &format!("tier=\"{}\"", tier.name)];
        (cafe.metric("gateway_connections_refused_total", &labels) >= 2.0).then_some(())
    });
    drop(held);
    wait::until("freed slots can be used again", || {
        (one_more(&cafe, GATEWAY) == Outcome::Served).then_some(())
    });
}

#[test]
fn xdp_answers_the_connection_over_the_limit_with_a_reset() {
    held_and_freed(&XDP, Outcome::Reset);
}

#[test]
fn tc_answers_the_connection_over_the_limit_with_a_reset() {
    held_and_freed(&TC, Outcome::Reset);
}

#[test]
fn accept_resets_the_connection_over_the_limit() {
    held_and_freed(&ACCEPT, Outcome::Closed);
}

/// 10,000 connections, most of them over the limit, ended in every way; at no time are more than the limit
/// past accept, and at the end every slot is free.
fn flood(tier: &Tier) {
    let Some(cafe) = open(tier) else { return };
    let most = AtomicUsize::new(0);
    let left = AtomicUsize::new(0);
    const CLIENTS: usize = 20;
    const EACH: usize = 500;
    left.store(CLIENTS, Ordering::Relaxed);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (cafe, left) = (&cafe, &left);
            scope.spawn(move || {
                cafe.wire.client.enter();
                for n in 0..EACH {
                    end_somehow(client + n);
                }
                left.fetch_sub(1, Ordering::Relaxed);
            });
        }
        scope.spawn(|| {
            while left.load(Ordering::Relaxed) > 0 {
                let open = cafe.metric("gateway_connections_open", &["listener=\"default/eg/http\""]);
                most.fetch_max(open as usize, Ordering::Relaxed);
            }
        });
    });
    let most = most.load(Ordering::Relaxed);
    assert!(most <= LIMIT, "{most} were open at once");
    wait::until("no connection is left", || (established(&cafe) == 0).then_some(()));
    wait::until("every slot is free", || {
        let open = cafe.metric("gateway_connections_open", &["listener=\"default/eg/http\""]);
        (open == 0.0).then_some(())
    });
    let held = fill(&cafe);
    assert_ne!(one_more(&cafe, GATEWAY), Outcome::Served, "drift: a slot too many");
    drop(held);
}

fn end_somehow(n: usize) {
    let patience = Duration::from_millis(50);
    let Ok(stream) = attempt(if n.is_multiple_of(2) { GATEWAY } else { GATEWAY6 }, patience) else { return };
    match n % 4 {
        0 => drop(stream),
        1 => dial::reset_on_close(&stream),
        2 => {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        _ => {
            use std::io::Write;
            let _ = (&stream).write_all(b"GET / HTTP/1.1\r\nhost: cafe.example.com\r\n\r\n");
        }
    }
}

#[test]
fn the_limit_holds_under_10_000_connections_with_xdp() {
    flood(&XDP);
}

#[test]
fn the_limit_holds_under_10_000_connections_with_tc() {
    flood(&TC);
}

#[test]
fn the_limit_holds_under_10_000_connections_with_accept() {
    flood(&ACCEPT);
}

/// kill -9 while the limit is reached: the kernel goes on refusing what its pins count, and the next process
/// takes the same pins over.
#[test]
fn a_killed_process_leaves_the_limit_in_force() {
    let Some(mut cafe) = open(&XDP) else { return };
    let held = fill(&cafe);
    assert_eq!(one_more(&cafe, GATEWAY), Outcome::Reset);
    cafe.gateway.kill();
    assert_eq!(one_more(&cafe, GATEWAY), Outcome::Reset, "nobody listens, or the pins hold");
    drop(held);
    cafe.gateway = Gateway::start(&cafe.wire.gateway, &cafe.place, &[]);
    wait::until("the successor serves", || (one_more(&cafe, GATEWAY) == Outcome::Served).then_some(()));
    let held = fill(&cafe);
    assert_eq!(one_more(&cafe, GATEWAY), Outcome::Reset);
    drop(held);
}

/// Clients hammer while processes are killed and started: at no instant are more than the limit served.
#[test]
fn no_more_than_the_limit_are_served_over_kills() {
    let Some(mut cafe) = open(&XDP) else { return };
    let (served, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stop = AtomicUsize::new(0);
    thread::scope(|scope| {
        let mut clients = Vec::new();
        for _ in 0..16 {
            let (served, most, stop, client) = (&served, &most, &stop, &cafe.wire.client);
            clients.push(scope.spawn(move || {
                client.enter();
                while stop.load(Ordering::Relaxed) == 0 {
                    let Ok(stream) = attempt(GATEWAY, Duration::from_millis(200)) else { continue };
                    let mut connection = Connection::from(stream);
                    // Counted from the answer until we close: the gateway holds its slot all that time.
                    if connection.get("cafe.example.com", "/").is_ok() {
                        let now = served.fetch_add(1, Ordering::SeqCst) + 1;
                        let again = connection.get("cafe.example.com", "/").is_ok();
                        if again {
                            most.fetch_max(now.min(served.load(Ordering::SeqCst)), Ordering::SeqCst);
                        }
                        served.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            }));
        }
        for _ in 0..5 {
            wait::until("clients are served", || (served.load(Ordering::SeqCst) > 0).then_some(()));
            cafe.gateway.kill();
            cafe.gateway = Gateway::start(&cafe.wire.gateway, &cafe.place, &[]);
        }
        wait::until("clients are served again", || (served.load(Ordering::SeqCst) > 0).then_some(()));
        stop.store(1, Ordering::Relaxed);
        for client in clients {
            client.join().expect("a client does not panic");
        }
    });
    let most = most.load(Ordering::SeqCst);
    assert!((1..=LIMIT).contains(&most), "{most} were served at once");
}
