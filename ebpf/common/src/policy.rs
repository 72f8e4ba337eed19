use crate::{ListenerKey, Opening, address::Address, first_segment::Said, verdict::DropReason};

/// What holds for the sources of a listening socket's connections, beside how many it may have. Written by user space
/// only. Whatever is zero is not asked.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    owner: u64,
    networks: u64,
    most_per_source: u32,
    most_per_prefix: u32,
    prefix_v4: u8,
    prefix_v6: u8,
    flags: u16,
    padding: u32,
    source_rate: Rate,
    listener_rate: Rate,
}

const _: () = assert!(size_of::<Policy>() == 64);

/// There are networks that may connect, and nobody else may.
const ALLOW_LISTED: u16 = 1;
/// What is refused is not answered.
const DROP: u16 = 2;

impl Policy {
    /// Refuses nobody and counts nobody.
    pub const NONE: Self = Self {
        owner: 0,
        networks: 0,
        most_per_source: 0,
        most_per_prefix: 0,
        prefix_v4: 0,
        prefix_v6: 0,
        flags: 0,
        padding: 0,
        source_rate: Rate::NONE,
        listener_rate: Rate::NONE,
    };

    /// `owner`: tells its sources from those of other listeners, the same after a restart.
    pub const fn of(owner: u64) -> Self {
        Self { owner, ..Self::NONE }
    }

    /// `set`: the id in [`NetworkKey`]; 0: none. `allow_listed`: some of its networks are allowed, and then nobody
    /// else is.
    #[must_use]
    pub const fn with_networks(self, set: u64, allow_listed: bool) -> Self {
        let flags = if allow_listed { self.flags | ALLOW_LISTED } else { self.flags & !ALLOW_LISTED };
        Self { networks: set, flags, ..self }
    }

    /// Most connections from one address, 0: any number.
    #[must_use]
    pub const fn with_source_limit(self, most: u32) -> Self {
        Self { most_per_source: most, ..self }
    }

    /// Most connections from one network, 0: any number; bits of an IPv4 and an IPv6 address that name it.
    #[must_use]
    pub const fn with_prefix_limit(self, most: u32, v4: u8, v6: u8) -> Self {
        Self { most_per_prefix: most, prefix_v4: 96 + v4, prefix_v6: v6, ..self }
    }

    /// New connections from one address, and of the whole listener.
    #[must_use]
    pub const fn with_rates(self, source: Rate, listener: Rate) -> Self {
        Self { source_rate: source, listener_rate: listener, ..self }
    }

    /// What is refused is dropped and not reset.
    #[must_use]
    pub const fn dropping(self) -> Self {
        Self { flags: self.flags | DROP, ..self }
    }

    /// True: what is refused is not answered.
    #[inline(always)]
    pub const fn drops(&self) -> bool {
        self.flags & DROP != 0
    }

    /// The id in [`NetworkKey`] of the networks that it asks for; 0: none.
    pub const fn networks(&self) -> u64 {
        self.networks
    }

    /// Tells its sources from those of other listeners; 0: it has none.
    pub const fn owner(&self) -> u64 {
        self.owner
    }

    /// True: connections are counted by source or network.
    #[inline(always)]
    pub const fn counts(&self) -> bool {
        self.most_per_source | self.most_per_prefix != 0
    }

    /// The row that counts the connections from this address's network.
    #[inline(always)]
    fn prefix(&self, address: Address) -> SourceKey {
        let bits = if address.is_mapped() { self.prefix_v4 } else { self.prefix_v6 };
        SourceKey::of(self.owner, address, bits)
    }

    /// Why a connection that a segment asks for is refused. Whose handshake may end is asked for limits only.
    #[inline(always)]
    pub(crate) fn refuses(&self, segment: &Opening, sources: &impl Sources) -> Option<DropReason> {
        self.refuses_source(segment.source, segment.is_last(), sources)
    }

    #[inline(always)]
    fn refuses_source(
        &self,
        address: Address,
        limits_only: bool,
        sources: &impl Sources,
    ) -> Option<DropReason> {
        if self.owner == 0 {
            return None;
        }
        let networks = match self.networks {
            0 => Networks(0),
            set => sources.networks(&NetworkKey::new(set, address)),
        };
        if !limits_only {
            if networks.has(Networks::DENY) {
                return Some(DropReason::SourceDenied);
            }
            if self.flags & ALLOW_LISTED != 0 && !networks.has(Networks::ALLOW) {
                return Some(DropReason::SourceNotAllowed);
            }
        }
        if networks.has(Networks::EXEMPT) {
            return None;
        }
        let source = SourceKey::whole(self.owner, address);
        if self.most_per_source != 0 && sources.open(&source) >= i64::from(self.most_per_source) {
            return Some(DropReason::OverSourceLimit);
        }
        if self.most_per_prefix != 0
            && sources.open_of_network(&self.prefix(address)) >= i64::from(self.most_per_prefix)
        {
            return Some(DropReason::OverPrefixLimit);
        }
        if limits_only {
            return None;
        }
        if self.source_rate.interval != 0 && !sources.spend(&source, &self.source_rate) {
            return Some(DropReason::OverSourceRate);
        }
        if self.listener_rate.interval != 0 && !sources.spend_of_listener(&self.listener_rate) {
            return Some(DropReason::OverListenerRate);
        }
        None
    }

    /// Why the client that a first segment names is refused: this is the policy for it, or for the peer where it names
    /// nobody.
    #[inline(always)]
    pub(crate) fn refuses_client(
        &self,
        said: &Said,
        segment: &Opening,
        sources: &impl Sources,
    ) -> Option<DropReason> {
        self.refuses_source(said.client(segment.source), false, sources)
    }

    /// True: the sender of a segment is in a set of those who may send PROXY headers.
    #[inline(always)]
    pub(crate) fn is_sender(set: u64, segment: &Opening, sources: &impl Sources) -> bool {
        sources.networks(&NetworkKey::new(set, segment.source)).has(Networks::SENDER)
    }

    /// The rows to count an established connection in, by source and by network: none for an exempt source, and one where
    /// a network is a single address that is counted already.
    #[inline(always)]
    pub fn counted(&self, peer: &ListenerKey, sources: &impl Sources) -> [Option<SourceKey>; 2] {
        let address = peer.host();
        let exempt = self.networks != 0
            && sources.networks(&NetworkKey::new(self.networks, address)).has(Networks::EXEMPT);
        let by_source = !exempt && self.most_per_source != 0;
        let by_prefix = !exempt && self.most_per_prefix != 0;
        let (source, prefix) = (SourceKey::whole(self.owner, address), self.prefix(address));
        [
            if by_source { Some(source) } else { None },
            if by_prefix && !(by_source && prefix == source) { Some(prefix) } else { None },
        ]
    }

    /// True: so many connections are as many as there may be in a row of [`Policy::counted`], which is its first or its
    /// second.
    #[inline(always)]
    pub const fn is_reached(&self, which: usize, open: i64) -> bool {
        let most = if which == 0 { self.most_per_source } else { self.most_per_prefix };
        open >= most as i64
    }
}

/// A token bucket, full at first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    interval: u64,
    capacity: u64,
}

impl Rate {
    /// Any number.
    pub const NONE: Self = Self { interval: 0, capacity: 0 };

    /// `interval`: nanoseconds for one token, at least 1. `burst`: most tokens in the bucket.
    pub const fn new(interval: u64, burst: u32) -> Self {
        Self { interval, capacity: interval.saturating_mul(burst as u64) }
    }

    /// Takes a token from a bucket that will be full at that time. `None`: there is none. Source: the virtual scheduling
    /// form of GCRA (ITU-T I.371).
    #[inline(always)]
    pub const fn after(&self, full_at: u64, now: u64) -> Option<u64> {
        let empty = now.saturating_add(self.capacity);
        let from = if full_at < now {
            now
        } else if full_at > empty {
            empty
        } else {
            full_at
        };
        let next = from.saturating_add(self.interval);
        if next <= empty { Some(next) } else { None }
    }
}

/// What is known of those who connect.
pub trait Sources {
    /// What the networks of a set say about an address; of those that hold it the smallest speaks for all.
    fn networks(&self, key: &NetworkKey) -> Networks;

    /// Connections of a source that are open; 0 where none was counted.
    fn open(&self, source: &SourceKey) -> i64;

    /// Likewise, of a network.
    fn open_of_network(&self, network: &SourceKey) -> i64;

    /// Takes a token of a source, the one of [`Sources::open`] if that was asked before. False: it has none.
    fn spend(&self, source: &SourceKey, rate: &Rate) -> bool;

    /// Takes a token of the listening socket's quota. False: it has none.
    fn spend_of_listener(&self, rate: &Rate) -> bool;
}

/// Names what counts together: an address, or a network. Short, since it is hashed for every SYN: how many bits count is
/// folded into the owner.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey {
    owner: u64,
    address: Address,
}

const _: () = assert!(size_of::<SourceKey>() == 24);

/// An odd number without a pattern: 2^64 by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl SourceKey {
    /// An address, IPv4 in IPv6's form, of which the first bits count.
    pub const fn new(owner: u64, address: [u8; 16], bits: u8) -> Self {
        Self::of(owner, Address::new(address), bits)
    }

    /// An address by itself.
    #[inline(always)]
    const fn whole(owner: u64, address: Address) -> Self {
        Self { owner, address }
    }

    #[inline(always)]
    const fn of(owner: u64, address: Address, bits: u8) -> Self {
        let left = 128_u64.saturating_sub(bits as u64);
        Self { owner: owner ^ left.wrapping_mul(SPREAD), address: address.truncated(bits) }
    }

    /// How many bits of the address count, if the key is one of that owner's.
    pub fn bits_of(&self, owner: u64) -> Option<u8> {
        (0..=128).rev().find(|bits| Self::of(owner, self.address, *bits) == *self)
    }

    /// The address, or the network's, IPv4 in IPv6's form.
    pub const fn address(&self) -> [u8; 16] {
        self.address.bytes()
    }
}

/// A source's or network's open connections. Written by the kernel half only.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCount {
    open: i64,
    generation: u64,
    /// When a source's bucket is full again; a network has none.
    full_at: u64,
}

const _: () = assert!(size_of::<SourceCount>() == 24);

/// Where [`SourceCount::open`] lies, for the atomic instruction that adds to it.
pub const SOURCE_OPEN_OFFSET: usize = core::mem::offset_of!(SourceCount, open);

impl SourceCount {
    /// None open. `generation` tells this row from one with the same key before or after it. `full_at`: of the bucket
    /// that the source had before.
    #[inline(always)]
    pub const fn new(generation: u64, full_at: u64) -> Self {
        Self { open: 0, generation, full_at }
    }

    /// Of a source in PROXY headers, whose connections user space counts: as many as there may be. Who has fewer has no
    /// row.
    pub const FULL: Self = Self { open: i64::MAX, generation: 0, full_at: 0 };

    /// Connections that are open.
    #[inline(always)]
    pub const fn open(&self) -> i64 {
        self.open
    }

    /// The same row with another number of connections.
    #[must_use]
    pub const fn with_open(self, open: i64) -> Self {
        Self { open, ..self }
    }

    /// When the row was made.
    #[inline(always)]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// When the source's bucket is full again, nanoseconds of the monotonic clock.
    #[inline(always)]
    pub const fn full_at(&mut self) -> &mut u64 {
        &mut self.full_at
    }
}

/// Remembered with a socket: the rows that count it, by source and by network. All zeros: none.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceMark {
    places: [(SourceKey, u64); 2],
}

const _: () = assert!(size_of::<SourceMark>() == 64);

impl SourceMark {
    /// Notes a row, by its key and generation.
    #[inline(always)]
    pub const fn set(&mut self, which: usize, key: SourceKey, generation: u64) {
        self.places[which] = (key, generation);
    }

    /// A row that was noted, the first time that it is asked for.
    #[inline(always)]
    pub fn take(&mut self, which: usize) -> Option<(SourceKey, u64)> {
        let (key, generation) = self.places[which];
        self.places[which].1 = 0;
        if generation == 0 { None } else { Some((key, generation)) }
    }
}

/// An address in a set of networks, as a trie finds it: the first 64 bits name the set.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetworkKey {
    set: [u32; 2],
    address: Address,
}

const _: () = assert!(size_of::<NetworkKey>() == 24);

impl NetworkKey {
    /// Bits of the key before the address.
    pub const SET_BITS: u32 = 64;

    /// All its bits.
    pub const BITS: u32 = 192;

    #[inline(always)]
    pub(crate) const fn new(set: u64, address: Address) -> Self {
        Self { set: [set as u32, (set >> 32) as u32], address }
    }

    /// A network's, IPv4 in IPv6's form.
    pub const fn of_network(set: u64, address: [u8; 16]) -> Self {
        Self::new(set, Address::new(address))
    }

    /// The set.
    pub const fn set(&self) -> u64 {
        self.set[0] as u64 | (self.set[1] as u64) << 32
    }

    /// The address.
    pub const fn address(&self) -> [u8; 16] {
        self.address.bytes()
    }
}

/// What the networks that hold an address say about it.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub u32);

impl Networks {
    /// It may not connect.
    pub const DENY: u32 = 1;
    /// It may, where only some may.
    pub const ALLOW: u32 = 2;
    /// No limit and no rate holds for it.
    pub const EXEMPT: u32 = 4;
    /// It may send PROXY headers.
    pub const SENDER: u32 = 8;

    #[inline(always)]
    const fn has(self, what: u32) -> bool {
        self.0 & what != 0
    }
}

/// Nobody is known, and nothing was ever spent.
impl Sources for () {
    fn networks(&self, _: &NetworkKey) -> Networks {
        Networks(0)
    }

    fn open(&self, _: &SourceKey) -> i64 {
        0
    }

    fn open_of_network(&self, _: &SourceKey) -> i64 {
        0
    }

    fn spend(&self, _: &SourceKey, _: &Rate) -> bool {
        true
    }

    fn spend_of_listener(&self, _: &Rate) -> bool {
        true
    }
}
