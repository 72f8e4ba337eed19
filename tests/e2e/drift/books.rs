//! Three counts of the connections of a port, by source and network: the kernel's own table of sockets, what the programs
//! count, and what user space counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    thread,
};

use e2e::{
    gateway::admin,
    netns::{GATEWAY, GATEWAY6, Netns},
    pinned::{self, Network, SourceCounts},
    wait,
};
use serde_json::Value;

use super::{
    PREFIXES,
    clients::{SOURCES, sources},
};
use crate::cafe::Cafe;

/// Connections, by address, by network, and of [`ALL`].
type Counts = BTreeMap<Network, i64>;

/// Everybody.
const ALL: Network = (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// A listener of which connections are counted.
#[derive(Clone, Copy, Debug)]
pub struct Listener {
    pub name: &'static str,
    pub port: u16,
    /// Sources are those in PROXY headers, which user space alone counts.
    pub is_proxied: bool,
}

/// Waits until all three agree, and are found to agree again, on no fewer than `least`. There may be more than a client
/// holds: a reset that got lost in a full queue leaves a connection that only a timeout ends.
pub fn agree(cafe: &Cafe, listener: Listener, least: usize) {
    let mut seen = Seen { listener, least, books: Books::default() };
    wait::until(&format!("all counts of {} agree", listener.name), || {
        seen.books = Books::read(cafe, listener);
        let agreed = seen.books.agree() && seen.books.table[&ALL] >= least as i64;
        (agreed && Books::read(cafe, listener) == seen.books).then_some(())
    });
}

/// Says what was seen last, where that is why a test fails.
struct Seen {
    listener: Listener,
    least: usize,
    books: Books,
}

impl Drop for Seen {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self { listener, least, books: Books { table, kernel, user } } = self;
            eprintln!("{}: at least {least} are held; table, user space, programs:", listener.name);
            for (address, bits) in
                table.keys().chain(kernel.iter().flat_map(BTreeMap::keys)).collect::<BTreeSet<_>>()
            {
                let of = |counts: &Counts| counts.get(&(*address, *bits)).copied();
                eprintln!("{address}/{bits}: {:?}, {:?}, {:?}", of(table), of(user), kernel.as_ref().map(of));
            }
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Books {
    /// By every address and network, also of those that have none.
    table: Counts,
    /// What the programs count; `None`: there are none.
    kernel: Option<Counts>,
    user: Counts,
}

impl Books {
    fn read(cafe: &Cafe, listener: Listener) -> Self {
        let kernel = pinned::directory(&cafe.place.runtime("bpf")).exists().then(|| kernel(cafe, listener));
        let netns = &cafe.wire.gateway;
        Self { table: table(netns, listener), kernel, user: user(netns, listener) }
    }

    fn agree(&self) -> bool {
        let Self { table, kernel, user } = self;
        let is_so = |(network, open): (&Network, &i64)| table.get(network) == Some(open);
        user == table && kernel.iter().flatten().all(is_so)
    }
}

/// The gateway's own namespace has it: what is ESTABLISHED or in CLOSE_WAIT holds a slot.
/// Source: `Documentation/networking/proc_net_tcp.rst` of the kernel.
fn table(gateway: &Netns, listener: Listener) -> Counts {
    let tables = gateway.run(|| {
        ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"]
            .map(|table| fs::read_to_string(table).expect("the kernel has the table"))
    });
    let mut counts = nobody(listener);
    for line in tables.iter().flat_map(|table| table.lines().skip(1)) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, peer, "01" | "08", ..] = *fields else { continue };
        if local.ends_with(&format!(":{:04X}", listener.port)) {
            for network in networks(listener, address(peer)) {
                *counts.entry(network).or_default() += 1;
            }
        }
    }
    counts
}

/// An address of the table: words of this machine's order, then a port.
fn address(text: &str) -> IpAddr {
    let (words, _) = text.split_once(':').expect("an address and a port");
    let words = words.as_bytes().chunks(8).map(|word| std::str::from_utf8(word).expect("ASCII"));
    let bytes: Vec<u8> =
        words.flat_map(|word| u32::from_str_radix(word, 16).expect("a word").to_ne_bytes()).collect();
    match *bytes {
        [a, b, c, d] => IpAddr::from([a, b, c, d]),
        _ => IpAddr::from(*bytes.first_chunk::<16>().expect("an IPv6 address")).to_canonical(),
    }
}

/// What a connection of that peer counts in.
fn networks(listener: Listener, peer: IpAddr) -> [Network; 3] {
    let behind = SOURCES.iter().find(|(source, _)| parse(source) == peer).map(|(_, behind)| parse(behind));
    let source = if listener.is_proxied { behind.unwrap_or(peer) } else { peer };
    let (whole, prefix) = if source.is_ipv4() { (32, PREFIXES.0) } else { (128, PREFIXES.1) };
    [ALL, (source, whole), truncated(source, prefix)]
}

fn truncated(address: IpAddr, bits: u8) -> Network {
    let network = match address {
        IpAddr::V4(address) => IpAddr::from((address.to_bits() & (u32::MAX << (32 - bits))).to_be_bytes()),
        IpAddr::V6(address) => IpAddr::from((address.to_bits() & (u128::MAX << (128 - bits))).to_be_bytes()),
    };
    (network, bits)
}

fn parse(address: &str) -> IpAddr {
    address.parse().expect("an address")
}

/// No connection of anybody.
fn nobody(listener: Listener) -> Counts {
    let all = sources(listener).flat_map(|(peer, _)| networks(listener, parse(peer)));
    all.map(|network| (network, 0)).collect()
}

/// What the programs count: of sources in PROXY headers all together only.
fn kernel(cafe: &Cafe, listener: Listener) -> Counts {
    let Listener { name, port, is_proxied } = listener;
    let series = format!("listener=\"default/eg/{name}\"");
    let all = (ALL, cafe.metric("gateway_kernel_connections_open", &[&series]) as i64);
    if is_proxied {
        return [all].into();
    }
    let by_source = SourceCounts::of(&cafe.place.runtime("bpf"), port).open();
    nobody(listener).into_iter().chain(by_source).chain([all]).collect()
}

/// What user space counts, as it explains what would become of a connection of each source.
fn user(gateway: &Netns, listener: Listener) -> Counts {
    let mut counts = nobody(listener);
    for (peer, behind) in sources(listener) {
        let page = gateway.run(|| admin(&question(listener, peer, behind))).unwrap_or_default();
        let (_, body) = page.split_once("\r\n\r\n").unwrap_or_default();
        let answer = serde_json::from_str::<Value>(body).unwrap_or_default();
        let found = |check: &str| {
            let checks = answer["ways"][0]["checks"].as_array()?;
            // The programs' own count is there too.
            let is_it = |one: &&Value| one["check"] == check && one["moment"] != "kernel";
            let found = checks.iter().find(is_it)?["found"].as_str()?;
            found.split_once(" of ")?.0.parse::<i64>().ok()
        };
        for (network, check) in networks(listener, parse(peer)).into_iter().zip(CHECKS) {
            // What is not said agrees with nothing.
            counts.insert(network, found(check).unwrap_or(i64::MIN));
        }
    }
    counts
}

/// The names of the checks by what [`networks`] lists.
const CHECKS: [&str; 3] = ["connectionLimit", "perSource", "perPrefix"];

fn question(listener: Listener, peer: &str, behind: &str) -> String {
    let Listener { name: _, port, is_proxied } = listener;
    let to = if peer.contains(':') { GATEWAY6 } else { GATEWAY };
    let end = |address: &str, port: u16| SocketAddr::new(parse(address), port);
    let question = format!("/explain?from={}&to={}", end(peer, 40_000), end(to, port));
    if is_proxied { format!("{question}&source={}", end(behind, 40_000)) } else { question }
}
