//! Programs as BPF_PROG_TEST_RUN runs them: bytes in, verdict, bytes and maps out. Nothing is attached or pinned.

use std::collections::BTreeMap;

use aya::{
    Ebpf, EbpfLoader,
    maps::{
        Array, HashMap, LpmTrie, PerCpuArray, PerCpuHashMap, PerCpuValues, RingBuf,
        lpm_trie::Key as NetworkOf,
    },
    programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions, Xdp},
    util::nr_cpus,
};
use ebpf_common::{
    Count, Desk, Event, Limit, ListenerKey, NetworkKey, QuotaKey, REASONS, Refused, SourceKey, names,
};

use nix::time::{ClockId, clock_gettime};

use crate::object;

/// The namespace that the programs think they are in.
pub const NETNS: u64 = 4711;

/// An IPv4 address in IPv6's form.
pub fn mapped(address: [u8; 4]) -> [u8; 16] {
    std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets()
}

e2e::rows! { Key(ListenerKey) Quota(QuotaKey) LimitRow(Limit) CountRow([i64; 3]) RefusedRow(Refused) DeskRow(Desk) Network(NetworkKey) Source(SourceKey) }

const _: () = assert!(size_of::<Count>() == size_of::<[i64; 3]>());

/// Room for sources.
const SOURCES: u32 = 4_096;

/// Never full again: a bucket without a token.
const NEVER: i64 = i64::MAX / 2;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The XDP program for frames in several buffers.
    XdpFrags,
    /// The XDP program for all kernels.
    Xdp,
    /// As `XdpFrags`, for a veth.
    VethFrags,
    /// As `Xdp`, for a veth.
    Veth,
    /// The classifier.
    Tc,
}

/// Every program of an object.
pub const HOOKS: [Hook; 5] = [Hook::XdpFrags, Hook::Xdp, Hook::VethFrags, Hook::Veth, Hook::Tc];

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    /// XDP_PASS 2, XDP_TX 3, XDP_REDIRECT 4; TC_ACT_UNSPEC -1, TC_ACT_SHOT 2, TC_ACT_REDIRECT 7.
    pub action: i32,
    /// The frame afterwards.
    pub frame: Vec<u8>,
}

/// XDP_PASS.
pub const XDP_PASS: i32 = 2;
/// XDP_TX.
pub const XDP_TX: i32 = 3;
/// XDP_REDIRECT.
pub const XDP_REDIRECT: i32 = 4;
/// TC_ACT_UNSPEC: the next program decides.
pub const TC_UNSPEC: i32 = -1;
/// TC_ACT_SHOT.
pub const TC_SHOT: i32 = 2;
/// TC_ACT_REDIRECT.
pub const TC_REDIRECT: i32 = 7;
/// XDP_DROP.
pub const XDP_DROP: i32 = 1;

impl Hook {
    /// What lets a frame through.
    pub const fn pass(self) -> i32 {
        match self {
            Self::Tc => TC_UNSPEC,
            _ => XDP_PASS,
        }
    }

    /// What refuses one.
    pub const fn refuse(self) -> i32 {
        match self {
            Self::XdpFrags | Self::Xdp => XDP_TX,
            Self::VethFrags | Self::Veth => XDP_REDIRECT,
            Self::Tc => TC_REDIRECT,
        }
    }

    /// What refuses one without an answer.
    pub const fn drop(self) -> i32 {
        match self {
            Self::Tc => TC_SHOT,
            _ => XDP_DROP,
        }
    }
}

/// Loaded programs with maps of their own.
pub struct Programs {
    ebpf: Ebpf,
}

impl Programs {
    /// `None`: these tests cannot run here.
    pub fn load() -> Option<Self> {
        Self::load_paced(0)
    }

    /// Likewise, with so many nanoseconds between the resets of a processor.
    pub fn load_paced(interval: u64) -> Option<Self> {
        Self::load_with(names::RESET_INTERVAL, interval, SOURCES, SOURCES)
    }

    /// Likewise, with room for so many sources' counts and so many buckets.
    pub fn load_sized(interval: u64, sources: u32, buckets: u32) -> Option<Self> {
        Self::load_with(names::RESET_INTERVAL, interval, sources, buckets)
    }

    /// Likewise, with so many nanoseconds between the events of a processor.
    pub fn load_telling(interval: u64) -> Option<Self> {
        Self::load_with(names::EVENT_INTERVAL, interval, SOURCES, SOURCES)
    }

    fn load_with(setting: &str, value: u64, sources: u32, buckets: u32) -> Option<Self> {
        let file = object::directory()?.join("gateway.bpf.o");
        let mut loader = EbpfLoader::new();
        loader.override_global(names::NETNS, &NETNS, true);
        loader.override_global(setting, &value, true);
        loader.map_max_entries(names::SOURCES, sources).map_max_entries(names::BUCKETS, buckets);
        let mut ebpf = loader.load_file(file).expect("the object loads");
        for name in [names::XDP_FRAGS, names::XDP, names::VETH_FRAGS, names::VETH] {
            let program: &mut Xdp = ebpf.program_mut(name).expect("it is there").try_into().expect("XDP");
            verified(program.load());
        }
        let program: &mut SchedClassifier =
            ebpf.program_mut(names::TC).expect("it is there").try_into().expect("TC");
        verified(program.load());
        Some(Self { ebpf })
    }

    /// A listening socket of this quota, which has so many connections of so many.
    pub fn listen(&mut self, key: ListenerKey, id: u64, most: Option<u64>, open: i64) {
        self.listen_with(key, Limit::new(id, most), open);
    }

    /// A listening socket of this row, whose quota has so many connections and no token.
    pub fn listen_with(&mut self, key: ListenerKey, limit: Limit, open: i64) {
        let quota = Quota(QuotaKey::new(key.netns(), limit.quota()));
        let slot = u32::try_from(limit.quota()).expect("a small number");
        let mut counts: Array<_, CountRow> = self.map(names::COUNTS);
        counts.set(slot, CountRow([open, 1, NEVER]), 0).expect("room");
        let mut refused: PerCpuHashMap<_, Quota, RefusedRow> = self.map(names::REFUSED);
        let zeros = vec![RefusedRow(Refused::default()); nr_cpus().expect("processors")];
        refused.insert(quota, PerCpuValues::try_from(zeros).expect("one per processor"), 0).expect("room");
        let mut ports: Array<_, u32> = self.map(names::PORTS);
        ports.set(key.port().into(), 1, 0).expect("room");
        let mut limits: HashMap<_, Key, LimitRow> = self.map(names::LIMITS);
        limits.insert(Key(key), LimitRow(limit.with_slot(slot)), 0).expect("room");
    }

    /// A network of a set and what it and those around it say.
    pub fn network(&mut self, network: NetworkKey, bits: u32, says: u32) {
        let mut networks: LpmTrie<_, Network, u32> = self.map(names::NETWORKS);
        let key = NetworkOf::new(NetworkKey::SET_BITS + bits, Network(network));
        networks.insert(&key, says, 0).expect("room");
    }

    /// A source or network that has so many connections, and a full bucket.
    pub fn source(&mut self, key: SourceKey, open: i64) {
        self.source_with(key, open, false);
    }

    /// Likewise; `spent`: its bucket is empty.
    pub fn source_with(&mut self, key: SourceKey, open: i64, spent: bool) {
        let mut sources: HashMap<_, Source, [i64; 3]> = self.map(names::SOURCES);
        sources.insert(Source(key), [open, 1, if spent { NEVER } else { 0 }], 0).expect("room");
    }

    /// A source that has no token.
    pub fn spent(&mut self, key: SourceKey) {
        let mut buckets: HashMap<_, Source, i64> = self.map(names::BUCKETS);
        buckets.insert(Source(key), NEVER, 0).expect("room");
    }

    /// What waits in the ring buffer.
    pub fn events(&mut self) -> Vec<Event> {
        let mut ring: RingBuf<_> = self.map(names::EVENTS);
        let mut events = Vec::new();
        while let Some(item) = ring.next() {
            events.push(Event::read(&item).expect("an event"));
        }
        events
    }

    /// Refusals that were told of, that were not for the sake of the pace, and that were lost.
    pub fn told(&mut self) -> [u64; 3] {
        let desks: PerCpuArray<_, DeskRow> = self.map(names::DESK);
        let desks = desks.get(&0, 0).expect("a row");
        let totals = desks.iter().map(|row| row.0.telling.totals());
        totals.fold([0; 3], |[a, b, c], [d, e, f]| [a + d, b + e, c + f])
    }

    /// Bytes of the kernel's memory that a table of sources takes, as the kernel accounts for it.
    pub fn memory(&self, name: &str) -> u64 {
        let Some(aya::maps::Map::LruHashMap(map)) = self.ebpf.map(name) else {
            panic!("{name} is a table of sources")
        };
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(map.fd()));
        let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).expect("it is open");
        let bytes = told.lines().find_map(|line| line.strip_prefix("memlock:")).expect("a map says it");
        bytes.trim().parse().expect("a number")
    }

    /// A quota has become full just now, as the programs are told.
    pub fn fill(&mut self) {
        let mut filled: Array<_, u64> = self.map(names::FILLED);
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
        filled.set(0, now.tv_sec() as u64 * 1_000_000_000, 0).expect("room");
    }

    /// Refusals of a quota: by XDP, by TC.
    pub fn refused(&mut self, id: u64) -> (u64, u64) {
        let refused: PerCpuHashMap<_, Quota, RefusedRow> = self.map(names::REFUSED);
        let rows = refused.get(&Quota(QuotaKey::new(NETNS, id)), 0).expect("a row");
        let total = |answers: ebpf_common::Answers| answers.totals().map(|(_, total)| total).sum::<u64>();
        let totals = rows.iter().map(|row| row.0.tiers().map(total));
        totals.fold((0, 0), |(xdp, tc), [by_xdp, by_tc]| (xdp + by_xdp, tc + by_tc))
    }

    /// Those of them that got no answer.
    pub fn unanswered(&mut self, id: u64) -> u64 {
        let refused: PerCpuHashMap<_, Quota, RefusedRow> = self.map(names::REFUSED);
        let rows = refused.get(&Quota(QuotaKey::new(NETNS, id)), 0).expect("a row");
        rows.iter().flat_map(|row| row.0.tiers()).map(|answers| answers.unanswered()).sum()
    }

    /// Frames by reason, those that are zero left out.
    pub fn reasons(&mut self) -> BTreeMap<u32, u64> {
        let reasons: PerCpuArray<_, u64> = self.map(names::REASONS);
        let sum = |index| reasons.get(&index, 0).expect("a counter").iter().sum::<u64>();
        (0..REASONS).map(|index| (index, sum(index))).filter(|(_, sum)| *sum > 0).collect()
    }

    /// Runs a program on a frame. The kernel wants an Ethernet header at least.
    pub fn run(&self, hook: Hook, frame: &[u8]) -> Run {
        let mut out = vec![0; frame.len() + 64];
        let options =
            TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..TestRunOptions::new() };
        let result = match hook {
            Hook::XdpFrags => self.xdp(names::XDP_FRAGS).test_run(options),
            Hook::Xdp => self.xdp(names::XDP).test_run(options),
            Hook::VethFrags => self.xdp(names::VETH_FRAGS).test_run(options),
            Hook::Veth => self.xdp(names::VETH).test_run(options),
            Hook::Tc => {
                let program: &SchedClassifier =
                    self.ebpf.program(names::TC).expect("it is there").try_into().expect("TC");
                program.test_run(options)
            }
        };
        let result = result.expect("the kernel runs it");
        out.truncate(result.data_size_out as usize);
        Run { action: result.return_value.cast_signed(), frame: out }
    }

    fn xdp(&self, name: &str) -> &Xdp {
        self.ebpf.program(name).expect("it is there").try_into().expect("XDP")
    }

    fn map<'a, M>(&'a mut self, name: &str) -> M
    where
        M: TryFrom<&'a mut aya::maps::Map, Error = aya::maps::MapError>,
    {
        self.ebpf.map_mut(name).expect("it is there").try_into().expect("of that kind")
    }
}

/// The verifier's log is the message.
fn verified(loaded: Result<(), ProgramError>) {
    if let Err(error) = loaded {
        panic!("{error}");
    }
}
