//! The kernel's count of connections against the kernel's own table of sockets, once per tier: after 100,000 connections
//! of every kind, over cookies, reloads, a process that does not accept, and processes that are killed.

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use e2e::{
    gateway::Gateway,
    http::Connection,
    netns::{GATEWAY, GATEWAY6, Netns},
    wait,
};
use nix::sys::{
    signal::Signal,
    socket::{setsockopt, sockopt},
};

use crate::{
    cafe::{Cafe, PORT, appliance, limited, manifests},
    syns::flood,
};

/// The port of a listener that comes and goes.
const OTHER: u16 = 8081;
/// Above what clients and held connections come to, so that it refuses only when it is lowered.
const LIMIT: usize = 1_000;
const HTTP: (&str, u16) = ("http", PORT);
const EXTRA: (&str, u16) = ("other", OTHER);
const CLIENTS: usize = 8;
/// Of each phase; there are five.
const CONNECTIONS: usize = 20_000;
/// Open all along, half of them over IPv6.
const HELD: usize = 20;

fn two_listeners() -> String {
    let one = format!("  - {{name: http, port: {PORT}, protocol: HTTP}}\n");
    manifests().replace(&one, &format!("{one}  - {{name: other, port: {OTHER}, protocol: HTTP}}\n"))
}

/// Connections with a port of ours that hold a slot: ESTABLISHED and CLOSE_WAIT, in the gateway's own namespace.
fn in_the_table(gateway: &Netns, port: u16) -> usize {
    gateway.run(|| {
        let mut count = 0;
        for table in ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"] {
            let table = fs::read_to_string(table).expect("the kernel has the table");
            for line in table.lines().skip(1) {
                let mut fields = line.split_whitespace().skip(1);
                let (local, _, state) = (fields.next(), fields.next(), fields.next());
                let mine = local.is_some_and(|local| local.ends_with(&format!(":{port:04X}")));
                count += usize::from(mine && matches!(state, Some("01" | "08")));
            }
        }
        count
    })
}

/// What the programs have counted for a listener.
fn counted(gateway: &Gateway, netns: &Netns, listener: &str) -> Option<usize> {
    let series = format!("gateway_kernel_connections_open{{listener=\"default/eg/{listener}\"}}");
    gateway.metric(netns, &series).map(|value| value as usize)
}

/// Waits until the table and the count agree, and are found to agree again, on no fewer than `least`. There may be more
/// than a client holds: a reset that got lost in a full queue leaves a connection that only a timeout ends.
fn agree(gateway: &Gateway, netns: &Netns, (listener, port): (&str, u16), least: usize) {
    let both = || (in_the_table(netns, port), counted(gateway, netns, listener));
    let mut seen = Seen { least, table: 0, count: None };
    wait::until(&format!("the table and the count of {listener} agree"), || {
        (seen.table, seen.count) = both();
        let agreed = seen.table >= least && seen.count == Some(seen.table);
        (agreed && both() == (seen.table, seen.count)).then_some(())
    });
}

/// Says what was seen last, where that is why a test fails.
struct Seen {
    least: usize,
    table: usize,
    count: Option<usize>,
}

impl Drop for Seen {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { least, table, count } = self;
            eprintln!("at least {least} are held; the table has {table}, the count is {count:?}");
        }
    }
}

/// Opens and ends connections of every kind; `meanwhile` is called again and again until they are through. How many
/// were opened.
fn hammer(client: &Netns, ports: &[u16], mut meanwhile: impl FnMut()) -> usize {
    let (left, opened) = (AtomicUsize::new(CLIENTS), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (left, opened) = (&left, &opened);
            scope.spawn(move || {
                client.enter();
                for n in 0..CONNECTIONS / CLIENTS {
                    let port = ports[n / 16 % ports.len()];
                    if end_somehow(number + n, port) {
                        opened.fetch_add(1, Ordering::Relaxed);
                    }
                }
                left.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while left.load(Ordering::Relaxed) > 0 {
            meanwhile();
        }
    });
    opened.into_inner()
}

fn reset_on_close(stream: &TcpStream) {
    // On a socket that was reset already this fails, and nothing is lost.
    let _ = setsockopt(stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 });
}

/// Opens a connection and ends it; true if it was opened.
fn end_somehow(n: usize, port: u16) -> bool {
    let address = if n.is_multiple_of(2) { GATEWAY } else { GATEWAY6 };
    let address = SocketAddr::new(address.parse().expect("an address"), port);
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_millis(50)) else {
        return false;
    };
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: cafe.example.com\r\n\r\n";
    match n / 2 % 8 {
        0 => {}
        1 => reset_on_close(&stream),
        2 => {
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        3 => {
            let _ = stream.write_all(REQUEST);
            reset_on_close(&stream);
        }
        4 => {
            let _ = stream.write_all(b"GET / HT");
        }
        5 => {
            let _ = stream.write_all(b"\0\r\n\r\n");
            let _ = Connection::from(stream).rest();
        }
        6 => {
            let _ = stream.write_all(REQUEST);
            let _ = stream.shutdown(std::net::Shutdown::Write);
        }
        _ => {
            let _ = Connection::from(stream).get("cafe.example.com", "/");
        }
    }
    true
}

fn hold(cafe: &Cafe) -> Vec<Connection> {
    let mut held: Vec<Connection> = (0..HELD)
        .map(|n| if n.is_multiple_of(2) { cafe.connect() } else { cafe.connect6() }.expect("below the limit"))
        .collect();
    for connection in &mut held {
        assert_eq!(connection.get("cafe.example.com", "/").expect("served").status, 200);
    }
    held
}

fn sysctl(netns: &Netns, name: &str, value: &str) {
    netns.run(|| fs::write(format!("/proc/sys/net/ipv4/{name}"), value).expect("a namespace of our own"));
}

fn generation(gateway: &Gateway, netns: &Netns) -> f64 {
    gateway.metric(netns, "gateway_config_generation ").unwrap_or_default()
}

/// Puts a file in force.
fn reload(cafe: (&Gateway, &Netns), write: impl FnOnce()) {
    let (gateway, netns) = cafe;
    let before = generation(gateway, netns);
    write();
    wait::until("the change is in force", || (generation(gateway, netns) > before).then_some(()));
}

fn nothing_drifts(kernel: &str) {
    let files = [("appliance.yaml", appliance(kernel)), ("limit.yaml", limited(LIMIT))];
    let Some(mut cafe) = Cafe::open(&files, &[]) else { return };
    sysctl(&cafe.wire.client, "ip_local_port_range", "1024 65535");
    sysctl(&cafe.wire.client, "tcp_tw_reuse", "1");
    let held = hold(&cafe);
    let Cafe { gateway, place, wire } = &mut cafe;
    let (client, netns) = (&wire.client, &wire.gateway);
    agree(gateway, netns, HTTP, HELD);

    // Cookies when a flood calls for them, then for everybody.
    for cookies in ["1", "2"] {
        sysctl(netns, "tcp_syncookies", cookies);
        let opened = hammer(client, &[PORT], || client.run(|| flood(PORT, 500)));
        assert!(opened > CONNECTIONS / 2, "{opened} were opened: the test itself works");
        agree(gateway, netns, HTTP, HELD);
    }
    sysctl(netns, "tcp_syncookies", "1");

    let mut round = 0;
    let opened = hammer(client, &[PORT, OTHER], || {
        round += 1;
        let limit = if round % 4 == 0 { HELD } else { LIMIT };
        reload((gateway, netns), || place.write("limit.yaml", &limited(limit + round % 3)));
        let cafe = if round % 2 == 0 { manifests() } else { two_listeners() };
        reload((gateway, netns), || place.write("cafe.yaml", &cafe));
    });
    assert!(
        round > 1 && opened > CONNECTIONS / 10,
        "{opened} were opened, {round} rounds: the test itself works"
    );
    place.write("limit.yaml", &limited(LIMIT));
    place.write("cafe.yaml", &two_listeners());
    wait::until("the other listener is there", || counted(gateway, netns, "other"));
    agree(gateway, netns, HTTP, HELD);
    agree(gateway, netns, EXTRA, 0);

    // What waits in the backlog, is reset there, or is left there by a process that dies.
    let mut round = 0;
    let opened = hammer(client, &[PORT, OTHER], || {
        round += 1;
        gateway.signal(Signal::SIGSTOP);
        client.run(|| (0..64).for_each(leave_in_the_backlog));
        gateway.signal(Signal::SIGCONT);
        wait::until("it accepts again", || counted(gateway, netns, "http"));
    });
    assert!(
        round > 1 && opened > CONNECTIONS / 10,
        "{opened} were opened, {round} rounds: the test itself works"
    );
    agree(gateway, netns, HTTP, HELD);
    agree(gateway, netns, EXTRA, 0);

    let mut held = Some(held);
    let opened = hammer(client, &[PORT, OTHER], || {
        gateway.signal(Signal::SIGSTOP);
        client.run(|| (0..64).for_each(leave_in_the_backlog));
        gateway.kill();
        held = None;
        *gateway = Gateway::start(netns, place, &[]);
    });
    assert!(held.is_none() && opened > 0, "{opened} were opened: the test itself works");
    agree(gateway, netns, HTTP, 0);
    agree(gateway, netns, EXTRA, 0);
    let again = hold(&cafe);
    agree(&cafe.gateway, &cafe.wire.gateway, HTTP, HELD);
    drop(again);
    agree(&cafe.gateway, &cafe.wire.gateway, HTTP, 0);
}

/// Opens a connection to a process that does not accept, and leaves it to its fate.
fn leave_in_the_backlog(n: usize) {
    let address = if n.is_multiple_of(2) { GATEWAY } else { GATEWAY6 };
    let address = SocketAddr::new(address.parse().expect("an address"), PORT);
    let stream = TcpStream::connect_timeout(&address, Duration::from_millis(50));
    if let (Ok(stream), true) = (stream, n.is_multiple_of(3)) {
        reset_on_close(&stream);
    }
}

#[test]
fn the_count_is_what_the_socket_table_says_with_xdp() {
    nothing_drifts("{mode: Require, interfaces: [gw0]}");
}

#[test]
fn the_count_is_what_the_socket_table_says_with_tc() {
    nothing_drifts("{mode: Require, interfaces: [gw0], tiers: [TC]}");
}
