//! What is counted of connections against the kernel's own table of sockets, by listener, source and network, once per
//! tier: after 100,000 connections of every kind, over cookies, reloads, a process that does not accept, upgrades, and
//! processes that are killed.

mod books;
mod clients;

use std::fs;

use e2e::{
    gateway::Gateway,
    http::Connection,
    netns::{Netns, Wire},
    wait,
};
use nix::sys::signal::Signal;

use crate::{
    cafe::{Cafe, PORT, appliance, connection_policy, limited, manifests},
    syns::flood,
};
use books::{Listener, agree};
use clients::{HELD, SOURCES, are_answered, begin, hammer, hold, leave_in_the_backlog};

/// The port of a listener that comes and goes.
const OTHER: u16 = 8081;
/// The port where connections begin with a PROXY header.
const PROXIED: u16 = 8082;
const LISTENERS: [Listener; 3] = [
    Listener { name: "http", port: PORT, is_proxied: false },
    Listener { name: "other", port: OTHER, is_proxied: false },
    Listener { name: "proxied", port: PROXIED, is_proxied: true },
];
/// Above what clients and held connections come to, so that it refuses only when it is lowered.
const LIMIT: usize = 1_000;
/// Of each phase; there are six.
const CONNECTIONS: usize = 17_000;
/// Bits that networks have here: some sources share one.
const PREFIXES: (u8, u8) = (28, 124);
/// How often the gateway is changed in a phase, at least.
const ROUNDS: usize = 2;

/// How long a process may take that has handed over.
const FLAGS: [&str; 2] = ["--drain-timeout", "20s"];

/// Limits that tell of what they count, and refuse nobody; the one on connections may be lowered.
fn policies(connections: usize) -> String {
    let (v4, v6) = PREFIXES;
    let per_source = format!(
        "  concurrentConnections:
    perSource: {{limit: {LIMIT}}}
    perPrefix: {{limit: {LIMIT}, ipv4PrefixLength: {v4}, ipv6PrefixLength: {v6}}}
"
    );
    let proxied = |policy: String, name: &str| {
        let policy = policy.replace(", name: eg}", ", name: eg, sectionName: proxied}");
        policy.replace(&format!("{{name: {name},"), &format!("{{name: {name}-proxied,"))
    };
    let all = [
        limited(connections),
        proxied(limited(LIMIT) + "  proxyProtocol: {optional: false}\n", "client"),
        connection_policy(&per_source),
        proxied(connection_policy(&per_source) + "  key: ProxySource\n", "who"),
    ];
    all.join("---\n")
}

/// The usual example with more listeners, among them the one that comes and goes or not.
fn listeners(with_other: bool) -> String {
    let one = format!("  - {{name: http, port: {PORT}, protocol: HTTP}}\n");
    let proxied = format!("  - {{name: proxied, port: {PROXIED}, protocol: HTTP}}\n");
    let other = format!("  - {{name: other, port: {OTHER}, protocol: HTTP}}\n");
    manifests().replace(&one, &[one.as_str(), &proxied, if with_other { &other } else { "" }].concat())
}

fn sysctl(netns: &Netns, name: &str, value: &str) {
    netns.run(|| fs::write(format!("/proc/sys/net/ipv4/{name}"), value).expect("a namespace of our own"));
}

/// Puts a file in force.
fn reload(cafe: &Cafe, write: impl FnOnce()) {
    let generation = || cafe.metric("gateway_config_generation", &[]);
    let before = generation();
    write();
    wait::until("the change is in force", || (generation() > before).then_some(()));
}

/// The usual example, hammered.
struct Site {
    cafe: Cafe,
    /// Connections that are open all along.
    held: Vec<Connection>,
}

impl Site {
    /// `None` where namespaces cannot be made.
    fn open(kernel: &str) -> Option<Self> {
        let files = [("appliance.yaml", appliance(kernel)), ("limit.yaml", policies(LIMIT))];
        let cafe = Cafe::open(&files, &FLAGS)?;
        let client = &cafe.wire.client;
        for source in ["2001:db8:1::11", "2001:db8:1::12"] {
            client.ip(&format!("address add {source}/64 dev cl0 nodad"));
        }
        sysctl(client, "ip_local_port_range", "1024 65535");
        reload(&cafe, || cafe.place.write("cafe.yaml", &listeners(true)));
        let held = hold(client);
        let site = Self { cafe, held };
        site.agrees();
        Some(site)
    }

    /// Waits until all counts of all listeners are right.
    fn agrees(&self) {
        let held = if self.held.is_empty() { 0 } else { HELD * SOURCES.len() };
        for (listener, least) in LISTENERS.into_iter().zip([held, 0, held.saturating_sub(HELD)]) {
            agree(&self.cafe, listener, least);
        }
    }

    /// As at first, whatever was changed.
    fn settles(&self) {
        self.cafe.place.write("limit.yaml", &policies(LIMIT));
        self.cafe.place.write("cafe.yaml", &listeners(true));
        self.agrees();
    }

    /// Floods of SYNs, with cookies when a flood calls for them, then for everybody.
    fn floods(&self) {
        let Wire { client, gateway } = &self.cafe.wire;
        for cookies in ["1", "2"] {
            sysctl(gateway, "tcp_syncookies", cookies);
            let ours = [LISTENERS[0], LISTENERS[2]];
            let opened = hammer(client, &ours, ROUNDS, || client.run(|| flood(PORT, 500)));
            assert!(opened > CONNECTIONS / 2, "{opened} were opened: the test itself works");
            self.agrees();
        }
        sysctl(gateway, "tcp_syncookies", "1");
    }

    /// Limits change, and a listener comes and goes.
    fn reloads(&self) {
        let (cafe, mut round) = (&self.cafe, 0);
        let opened = hammer(&cafe.wire.client, &LISTENERS, ROUNDS, || {
            round += 1;
            reload(cafe, || cafe.place.write("limit.yaml", &policies(limit(round))));
            reload(cafe, || cafe.place.write("cafe.yaml", &listeners(round.is_multiple_of(2))));
        });
        did_something(opened);
        self.settles();
    }

    /// What waits in the backlog, or is reset there.
    fn stops(&self) {
        let Cafe { gateway, wire, place: _ } = &self.cafe;
        let opened = hammer(&wire.client, &LISTENERS, ROUNDS, || {
            gateway.signal(Signal::SIGSTOP);
            wire.client.run(|| (0..64).for_each(leave_in_the_backlog));
            gateway.signal(Signal::SIGCONT);
            wait::until("it accepts again", || gateway.metric(&wire.gateway, "gateway_config_generation "));
        });
        did_something(opened);
        self.agrees();
    }

    /// Each process serves for a moment; limits and listeners change on the way, or just before.
    fn upgrades(&mut self) {
        let (Self { cafe: Cafe { gateway, wire, place }, held }, mut round) = (&mut *self, 0);
        let opened = hammer(&wire.client, &LISTENERS, ROUNDS, || {
            round += 1;
            place.write("limit.yaml", &policies(limit(round)));
            place.write("cafe.yaml", &listeners(round.is_multiple_of(2)));
            gateway.upgrade(place);
            // What is idle is closed by the process that has handed over.
            held.clear();
        });
        did_something(opened);
        self.settles();
        // A process that has handed over serves what has begun, and its successor counts it.
        let mut busy: Vec<Vec<Connection>> =
            LISTENERS.map(|listener| begin(&self.cafe.wire.client, listener, BEGINNING)).into();
        for connection in busy.iter_mut().flatten() {
            assert_eq!(connection.response().expect("it has begun").status, 100);
        }
        self.cafe.gateway.upgrade(&self.cafe.place);
        for (listener, busy) in LISTENERS.into_iter().zip(&busy) {
            agree(&self.cafe, listener, busy.len());
        }
        for connection in busy.iter_mut().flatten() {
            connection.send(b"helloworld").expect("it is open");
        }
        busy.iter_mut().for_each(|busy| are_answered(busy));
        assert!(self.cafe.gateway.wait_for_predecessors(), "each has ended in order");
        drop(busy);
        self.agrees();
    }

    /// What is left in the backlog by a process that dies, and what it has served.
    fn kills(&mut self) {
        let Cafe { gateway, wire, place } = &mut self.cafe;
        let opened = hammer(&wire.client, &LISTENERS, ROUNDS, || {
            gateway.signal(Signal::SIGSTOP);
            wire.client.run(|| (0..64).for_each(leave_in_the_backlog));
            gateway.kill();
            *gateway = Gateway::start(&wire.gateway, place, &FLAGS);
        });
        // Who is refused while there is nobody is soon through.
        assert!(opened > 0, "the test itself works");
        self.agrees();
        self.held = hold(&self.cafe.wire.client);
        self.agrees();
        self.held.clear();
        self.agrees();
    }
}

/// A request of which the end is missing, and that is known to have begun once it is told to continue.
const BEGINNING: &str =
    "POST / HTTP/1.1\r\nhost: cafe.example.com\r\ncontent-length: 10\r\nexpect: 100-continue\r\n\r\n";

/// So few now and then that nobody else may come than who is there.
const fn limit(round: usize) -> usize {
    let limit = if round.is_multiple_of(4) { HELD * SOURCES.len() } else { LIMIT };
    limit + round % 3
}

fn did_something(opened: usize) {
    assert!(opened > CONNECTIONS / 20, "{opened} were opened: the test itself works");
}

fn nothing_drifts(kernel: &str) {
    let Some(mut site) = Site::open(kernel) else { return };
    site.floods();
    site.reloads();
    site.stops();
    site.upgrades();
    site.kills();
}

#[test]
fn the_counts_are_what_the_socket_table_says_with_xdp() {
    nothing_drifts("{mode: Require, interfaces: [gw0]}");
}

#[test]
fn the_counts_are_what_the_socket_table_says_with_tc() {
    nothing_drifts("{mode: Require, interfaces: [gw0], tiers: [TC]}");
}

#[test]
fn the_counts_are_what_the_socket_table_says_with_accept() {
    nothing_drifts("{mode: Off}");
}
