//! `cargo xtask bench bpf`: nanoseconds per packet of each program and case, by BPF_PROG_TEST_RUN, beside a bare
//! XDP_DROP in the same process. Prints a Markdown table.
//!
//! A run repeats the program on one buffer, so that a program that rewrites its packet can only be timed run by
//! run: those rows have a bare drop that is timed likewise beside them.

use std::{
    error::Error,
    net::{Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, LpmTrie, PerCpuHashMap, PerCpuValues, lpm_trie::Key as NetworkOf},
    programs::{SchedClassifier, TestRun, TestRunOptions, Xdp},
    util::nr_cpus,
};
use ebpf_common::{
    Limit, ListenerKey, NetworkKey, Networks, Policy, QuotaKey, Rate, Refused, SourceKey, names,
};
use nix::time::{ClockId, clock_gettime};

#[path = "bench_bpf/counting.rs"]
mod counting;

/// Runs of which the best counts.
const ROUNDS: u32 = 25;
/// Packets of a run.
const REPEAT: u32 = 100_000;
/// Runs of one packet each, of which the best counts.
const SINGLE: u32 = 20_000;

/// Nanoseconds between the refusals that a processor tells of, as the appliance has it.
const EVENT_INTERVAL: u64 = 10_000_000;

/// Room for sources, as the appliance makes it where a policy counts them.
const SOURCES: u32 = 1_000_000;

/// Room for connections that begin with headers, as the appliance makes it where they are read.
const HEADERS: u32 = 65_536;

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Plain<T>(T);

// SAFETY: used for the map rows of `ebpf_common`, which are `repr(C)` and have no implicit padding.
unsafe impl<T: Copy + 'static> Pod for Plain<T> {}

/// The receiver.
const V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 100);
/// As [`V4`].
const V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
/// The sender, IPv6.
const SENDER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const PORT: u16 = 8080;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::var_os("GATEWAY_BPF_DIR")
        .map_or_else(|| PathBuf::from("target/release/bpf"), PathBuf::from);
    let mut ebpf = load(&directory, false)?;
    let memory = memory(&ebpf, names::SOURCES)? + memory(&ebpf, names::BUCKETS)?;
    println!("Room for {SOURCES} sources takes {:.1} MB of the kernel's memory.\n", memory as f64 / 1e6);
    println!("| packet | XDP | TC |");
    println!("| --- | --- | --- |");
    let syn = v4(SYN, PORT);
    println!("| a bare XDP_DROP | {} | - |", best(&ebpf, names::BARE_DROP, &syn)?);
    let row = |ebpf: &Ebpf, what: &str, packet: &[u8]| -> Result<(), Box<dyn Error>> {
        let (xdp, tc) = (best(ebpf, names::XDP_FRAGS, packet)?, best(ebpf, names::TC, packet)?);
        println!("| {what} | {xdp} | {tc} |");
        Ok(())
    };
    let mut udp = v4(ACK, PORT);
    udp[23] = 17;
    row(&ebpf, "UDP", &udp)?;
    row(&ebpf, "TCP data, IPv4", &v4(ACK, PORT))?;
    row(&ebpf, "TCP data, IPv6", &v6(ACK, PORT, 0))?;
    row(&ebpf, "SYN to a port of nobody's, IPv4", &v4(SYN, 22))?;
    listen(&mut ebpf, Some(10), 0, Policy::NONE)?;
    row(&ebpf, "SYN below the limit, IPv4", &syn)?;
    row(&ebpf, "SYN below the limit, IPv6", &v6(SYN, PORT, 0))?;
    row(&ebpf, "SYN below the limit, IPv6 behind 4 extension headers", &v6(SYN, PORT, 4))?;
    police(&mut ebpf)?;
    listen(&mut ebpf, Some(10), 0, checked())?;
    row(&ebpf, "SYN that every check of a policy lets pass, IPv4", &syn)?;
    row(&ebpf, "SYN that every check of a policy lets pass, IPv6", &v6(SYN, PORT, 0))?;
    for (what, policy) in alone() {
        listen(&mut ebpf, None, 0, policy)?;
        row(&ebpf, &format!("SYN that a policy of {what} alone lets pass, IPv4"), &syn)?;
    }
    let refusing = [
        ("deny list", Policy::of(1).with_networks(DENIED, false)),
        ("source limit", Policy::of(2).with_source_limit(1)),
        ("source rate", Policy::of(2).with_rates(Rate::new(1 << 50, 1), Rate::NONE)),
    ];
    for (by, policy) in refusing {
        listen(&mut ebpf, None, 0, policy.dropping())?;
        row(&ebpf, &format!("SYN refused by the {by}, dropped, IPv4"), &syn)?;
    }
    fill(&mut ebpf)?;
    listen(&mut ebpf, Some(10), 9, Policy::NONE)?;
    row(&ebpf, "TCP data while some limit is reached, of a listener that has room, IPv4", &v4(ACK, PORT))?;
    listen(&mut ebpf, Some(10), 10, Policy::NONE)?;
    row(&ebpf, "TCP data of a listener whose limit is reached, looked up, IPv4", &v4(ACK, PORT))?;
    row(&ebpf, "TCP data of a listener whose limit is reached, looked up, IPv6", &v6(ACK, PORT, 0))?;
    println!("| a bare XDP_DROP, one by one | {} | - |", best_single(&ebpf, names::BARE_DROP, None, &syn)?);
    let one_by_one = |ebpf: &Ebpf, what: &str, before: Option<&[u8]>, packet: &[u8]| {
        let [xdp, tc] = [names::XDP_FRAGS, names::TC].map(|name| best_single(ebpf, name, before, packet));
        println!("| {what}, one by one | {} | {} |", xdp?, tc?);
        Ok::<_, Box<dyn Error>>(())
    };
    for (family, syn) in [("IPv4", &syn), ("IPv6", &v6(SYN, PORT, 0))] {
        one_by_one(&ebpf, &format!("SYN at the limit, {family}: answered"), None, syn)?;
    }
    let mut reading = load(&directory, true)?;
    read_headers(&mut reading)?;
    row(&reading, "UDP, where some listener reads headers", &udp)?;
    row(&reading, "TCP data to a port of nobody's, where some listener reads headers, IPv4", &v4(ACK, 22))?;
    row(&reading, "TCP data of a connection whose header has been read, IPv4", &v4(ACK, PORT))?;
    for (what, header) in headers() {
        let packet = with_payload(v4(ACK, PORT), &header);
        one_by_one(&reading, &format!("{what}, read and passed"), Some(&syn), &packet)?;
    }
    counting::print(&mut ebpf, |ebpf, key, policy| listen_at(ebpf, &[key], None, 0, policy))
}

/// The programs, reading PROXY headers or not: the appliance has them read where a listener asks for it.
fn load(directory: &Path, headers: bool) -> Result<Ebpf, Box<dyn Error>> {
    let mut loader = EbpfLoader::new();
    loader.override_global(names::EVENT_INTERVAL, &EVENT_INTERVAL, false);
    loader.override_global(names::HEADERS, if headers { &1_u64 } else { &0 }, true);
    loader.map_max_entries(names::SOURCES, SOURCES).map_max_entries(names::BUCKETS, SOURCES / 2);
    loader.map_max_entries(names::BEGINNINGS, HEADERS);
    let mut ebpf = loader.load_file(directory.join("gateway.bpf.o"))?;
    for name in [names::BARE_DROP, names::XDP_FRAGS, names::VETH_FRAGS] {
        let program: &mut Xdp = ebpf.program_mut(name).ok_or(name)?.try_into()?;
        program.load()?;
    }
    let program: &mut SchedClassifier = ebpf.program_mut(names::TC).ok_or(names::TC)?.try_into()?;
    program.load()?;
    Ok(ebpf)
}

/// Nanoseconds per packet of the best of many runs.
fn best(ebpf: &Ebpf, name: &str, packet: &[u8]) -> Result<u128, Box<dyn Error>> {
    let runs = (0..ROUNDS).map(|_| run(ebpf, name, packet, REPEAT));
    runs.collect::<Result<Vec<_>, _>>().map(|runs| runs.into_iter().min().unwrap_or_default())
}

/// Likewise, of runs of a single packet, each after one that does not count: the clock is read around each.
fn best_single(
    ebpf: &Ebpf,
    name: &str,
    before: Option<&[u8]>,
    packet: &[u8],
) -> Result<u128, Box<dyn Error>> {
    let runs = (0..SINGLE).map(|_| {
        before.map_or(Ok(0), |before| run(ebpf, name, before, 1))?;
        run(ebpf, name, packet, 1)
    });
    runs.collect::<Result<Vec<_>, _>>().map(|runs| runs.into_iter().min().unwrap_or_default())
}

fn run(ebpf: &Ebpf, name: &str, packet: &[u8], repeat: u32) -> Result<u128, Box<dyn Error>> {
    let options = TestRunOptions { data_in: Some(packet), repeat, ..TestRunOptions::new() };
    let program = ebpf.program(name).ok_or("the object has no such program")?;
    let result = if name == names::TC {
        let program: &SchedClassifier = program.try_into()?;
        program.test_run(options)?
    } else {
        let program: &Xdp = program.try_into()?;
        program.test_run(options)?
    };
    Ok(result.duration.as_nanos())
}

/// Bytes of the kernel's memory that a table of sources takes, as the kernel accounts for it.
fn memory(ebpf: &Ebpf, name: &'static str) -> Result<u64, Box<dyn Error>> {
    let Some(aya::maps::Map::LruHashMap(map)) = ebpf.map(name) else { return Err(name.into()) };
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd()))?;
    let bytes = told.lines().find_map(|line| line.strip_prefix("memlock:")).ok_or(name)?;
    Ok(bytes.trim().parse()?)
}

/// A quota has become full just now, as the programs are told.
fn fill(ebpf: &mut Ebpf) -> Result<(), Box<dyn Error>> {
    let mut filled: Array<_, u64> = map(ebpf, names::FILLED)?.try_into()?;
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    filled.set(0, u64::try_from(now.tv_sec())? * 1_000_000_000, 0)?;
    Ok(())
}

/// A set of networks that the sender is denied by, and one that knows 10,000 others.
const DENIED: u64 = 1;
const OTHERS: u64 = 2;

/// Asks everything, and has room.
fn checked() -> Policy {
    let endless = Rate::new(1, u32::MAX);
    Policy::of(1)
        .with_networks(OTHERS, true)
        .with_source_limit(10)
        .with_prefix_limit(100, 24, 64)
        .with_rates(endless, endless)
}

/// Each check for itself, with room.
fn alone() -> [(&'static str, Policy); 5] {
    let (policy, endless) = (Policy::of(1), Rate::new(1, u32::MAX));
    [
        ("networks", policy.with_networks(OTHERS, true)),
        ("a source limit", policy.with_source_limit(10)),
        ("a prefix limit", policy.with_prefix_limit(100, 24, 64)),
        ("a source rate", policy.with_rates(endless, Rate::NONE)),
        ("a listener rate", policy.with_rates(Rate::NONE, endless)),
    ]
}

/// Networks and sources for the policies.
fn police(ebpf: &mut Ebpf) -> Result<(), Box<dyn Error>> {
    let senders = [(Ipv4Addr::new(198, 51, 100, 1).to_ipv6_mapped().octets(), 120), (SENDER6.octets(), 64)];
    let mut networks: LpmTrie<_, Plain<NetworkKey>, u32> = map(ebpf, names::NETWORKS)?.try_into()?;
    let mut say = |set: u64, address: [u8; 16], bits: u32, says: u32| {
        let key = Plain(NetworkKey::of_network(set, address));
        networks.insert(&NetworkOf::new(NetworkKey::SET_BITS + bits, key), says, 0)
    };
    for (address, bits) in senders {
        say(DENIED, address, bits, Networks::DENY)?;
        say(OTHERS, address, bits, Networks::ALLOW)?;
    }
    for number in 0..10_000u32 {
        let address = Ipv4Addr::from(0x0a00_0000 + number * 256).to_ipv6_mapped().octets();
        say(OTHERS, address, 120, Networks::DENY)?;
    }
    let mut sources: HashMap<_, Plain<SourceKey>, [i64; 3]> = map(ebpf, names::SOURCES)?.try_into()?;
    for owner in [1, 2] {
        for (address, bits) in senders {
            sources.insert(Plain(SourceKey::new(owner, address, 128)), [1, 1, 0], 0)?;
            sources.insert(Plain(SourceKey::new(owner, address, bits as u8)), [1, 1, 0], 0)?;
        }
    }
    let mut buckets: HashMap<_, Plain<SourceKey>, i64> = map(ebpf, names::BUCKETS)?.try_into()?;
    buckets.insert(Plain(SourceKey::new(2, senders[0].0, 128)), i64::MAX / 2, 0)?;
    Ok(())
}

/// The socket reads PROXY headers, which the sender may send.
fn read_headers(ebpf: &mut Ebpf) -> Result<(), Box<dyn Error>> {
    const SENDERS: u64 = 3;
    listen(ebpf, None, 0, Policy::NONE)?;
    let mut networks: LpmTrie<_, Plain<NetworkKey>, u32> = map(ebpf, names::NETWORKS)?.try_into()?;
    let sender =
        Plain(NetworkKey::of_network(SENDERS, Ipv4Addr::new(198, 51, 100, 0).to_ipv6_mapped().octets()));
    networks.insert(&NetworkOf::new(NetworkKey::SET_BITS + 120, sender), Networks::SENDER, 0)?;
    let mut limits: HashMap<_, Plain<ListenerKey>, Plain<Limit>> = map(ebpf, names::LIMITS)?.try_into()?;
    let key = Plain(ListenerKey::new(0, V4.to_ipv6_mapped().octets(), PORT));
    let limit = Plain(Limit::new(1, None).with_slot(1).reading_headers(SENDERS, Policy::NONE, true));
    Ok(limits.insert(key, limit, 0)?)
}

/// PROXY headers, each with its name.
fn headers() -> [(&'static str, Vec<u8>); 4] {
    let second = |family: u8, addresses: &[u8]| {
        let length = u16::try_from(addresses.len()).unwrap_or_default().to_be_bytes();
        [b"\r\n\r\n\0\r\nQUIT\n\x21", &[family][..], &length, addresses].concat()
    };
    let v4 = [192, 0, 2, 1, 198, 51, 100, 100, 0x9c, 0x40, 0x1f, 0x90];
    let v6 = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1].repeat(2)[..], &v4[8..]].concat();
    let longest = [["ffff"; 8].join(":"), ["ffff"; 8].join(":")].join(" ");
    [
        ("PROXY header of version 2, IPv4", second(0x11, &v4)),
        ("PROXY header of version 2, IPv6", second(0x21, &v6)),
        ("PROXY header of version 1, IPv4", b"PROXY TCP4 192.0.2.101 198.51.100.100 40000 8080\r\n".to_vec()),
        (
            "the longest PROXY header of version 1",
            format!("PROXY TCP6 {longest} 65535 65535\r\n").into_bytes(),
        ),
    ]
}

/// The addresses of both families, which count together.
fn listen(ebpf: &mut Ebpf, most: Option<u64>, open: i64, policy: Policy) -> Result<(), Box<dyn Error>> {
    let keys = [V4.to_ipv6_mapped(), V6].map(|address| ListenerKey::new(0, address.octets(), PORT));
    listen_at(ebpf, &keys, most, open, policy)
}

fn listen_at(
    ebpf: &mut Ebpf,
    keys: &[ListenerKey],
    most: Option<u64>,
    open: i64,
    policy: Policy,
) -> Result<(), Box<dyn Error>> {
    let quota = Plain(QuotaKey::new(0, 1));
    let mut counts: Array<_, [i64; 3]> = map(ebpf, names::COUNTS)?.try_into()?;
    counts.set(1, [open, 1, 0], 0)?;
    let mut refused: PerCpuHashMap<_, Plain<QuotaKey>, Plain<Refused>> =
        map(ebpf, names::REFUSED)?.try_into()?;
    let processors = nr_cpus().map_err(|(_, error)| error)?;
    refused.insert(quota, PerCpuValues::try_from(vec![Plain(Refused::default()); processors])?, 0)?;
    let mut ports: Array<_, u32> = map(ebpf, names::PORTS)?.try_into()?;
    keys.iter().try_for_each(|key| ports.set(key.port().into(), 1, 0))?;
    let mut limits: HashMap<_, Plain<ListenerKey>, Plain<Limit>> = map(ebpf, names::LIMITS)?.try_into()?;
    let limit = Plain(Limit::new(1, most).with_policy(policy).with_slot(1));
    for key in keys {
        limits.insert(Plain(*key), limit, 0)?;
    }
    Ok(())
}

fn map<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut aya::maps::Map, Box<dyn Error>> {
    ebpf.map_mut(name).ok_or_else(|| name.into())
}

/// Receiver's and sender's. TC's test run takes frames for the loopback's own that have zeros there.
const STATIONS: [u8; 12] = [0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2];

/// A segment in a frame. Checksums are not looked at.
fn v4(flags: u8, port: u16) -> Vec<u8> {
    let mut frame = STATIONS.to_vec();
    frame.extend([0x08, 0, 0x45, 0, 0, 60, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    frame.extend([198, 51, 100, 1]);
    frame.extend(V4.octets());
    frame.extend(segment(flags, port));
    frame
}

/// The same frame with data.
fn with_payload(mut frame: Vec<u8>, payload: &[u8]) -> Vec<u8> {
    frame.extend(payload);
    let length = u16::try_from(frame.len() - 14).unwrap_or_default().to_be_bytes();
    frame[16..18].copy_from_slice(&length);
    // The byte behind the SYN's.
    frame[14 + 20 + 7] += 1;
    frame
}

fn v6(flags: u8, port: u16, extensions: u8) -> Vec<u8> {
    const DESTINATION: u8 = 60;
    let next = |left: u8| if left > 0 { DESTINATION } else { 6 };
    let mut frame = STATIONS.to_vec();
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 40 + 8 * extensions, next(extensions), 64]);
    frame.extend(SENDER6.octets());
    frame.extend(V6.octets());
    for left in (0..extensions).rev() {
        frame.extend([next(left), 0, 1, 4, 0, 0, 0, 0]);
    }
    frame.extend(segment(flags, port));
    frame
}

/// With 20 bytes of options, as SYNs have.
fn segment(flags: u8, port: u16) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    let mut tcp = vec![0x9c, 0x40, high, low, 0, 0, 0, 1, 0, 0, 0, 0, 0xa0, flags, 0xff, 0xff, 0, 0, 0, 0];
    tcp.extend([1; 20]);
    tcp
}
