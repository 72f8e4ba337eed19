use crate::{
    Opening, Policy, Sources,
    address::Address,
    first_segment::{Begins, Said},
    verdict::DropReason,
};

/// Names a listening socket: a network namespace, an address and a port. Short, since it is hashed for every SYN.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey {
    /// The namespace's cookie and, in its upper 16 bits, the port in network order. The kernel counts cookies up from 1
    /// (`gen_cookie_next`): those bits are free.
    place: u64,
    address: Address,
}

const _: () = assert!(size_of::<ListenerKey>() == 24);

/// Where the port begins in a key's first word.
const PORT: u32 = 48;

impl ListenerKey {
    /// `netns`: the namespace's cookie (SO_NETNS_COOKIE, kernel 5.14). `address`: IPv4 in IPv6's form; all zero
    /// behind the prefix for a wildcard.
    pub const fn new(netns: u64, address: [u8; 16], port: u16) -> Self {
        Self::of(netns, Address::new(address), port.to_be())
    }

    /// From words of an IPv6 packet or socket; address and port in network order.
    #[inline(always)]
    pub const fn v6(netns: u64, address: [u32; 4], port: u16) -> Self {
        Self::of(netns, Address::v6(address), port)
    }

    /// From the word of an IPv4 packet or socket; address and port in network order.
    #[inline(always)]
    pub const fn v4(netns: u64, address: u32, port: u16) -> Self {
        Self::of(netns, Address::v4(address), port)
    }

    #[inline(always)]
    pub(crate) const fn of(netns: u64, address: Address, port: u16) -> Self {
        Self { place: netns ^ (port as u64) << PORT, address }
    }

    /// The wildcard of the same family, namespace and port.
    #[inline(always)]
    pub const fn wildcard(&self) -> Self {
        Self { place: self.place, address: self.address.wildcard() }
    }

    /// The namespace's cookie.
    pub const fn netns(&self) -> u64 {
        self.place & ((1 << PORT) - 1)
    }

    /// The address, IPv4 in IPv6's form.
    pub const fn address(&self) -> [u8; 16] {
        self.address.bytes()
    }

    /// Without its namespace and port.
    #[inline(always)]
    pub(crate) const fn host(&self) -> Address {
        self.address
    }

    /// The port.
    #[inline(always)]
    pub const fn port(&self) -> u16 {
        u16::from_be((self.place >> PORT) as u16)
    }
}

/// What a listening socket counts towards, how many connections that may have, and what holds for who connects. Written
/// by user space only.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    quota: u64,
    most: u64,
    /// What is known with the SYN.
    policy: Policy,
    /// What is known with the PROXY header.
    proxied: Policy,
    /// The set of networks that may send one.
    senders: u64,
    /// Of the quota's row among the counts: an index costs a program nothing where a key would be hashed.
    slot: u32,
    flags: u32,
}

const _: () = assert!(size_of::<Limit>() == 160);

/// PROXY headers are read here.
const READS_HEADERS: u32 = 1;
/// A connection may begin without one.
const OPTIONAL: u32 = 2;

impl Limit {
    /// `quota`: the id of a [`QuotaKey`](crate::QuotaKey). `most`: `None`: any number, which are only counted.
    pub const fn new(quota: u64, most: Option<u64>) -> Self {
        let unlimited = u64::MAX;
        Self {
            quota,
            most: unlimited,
            policy: Policy::NONE,
            proxied: Policy::NONE,
            senders: 0,
            slot: 0,
            flags: 0,
        }
        .with_most(most)
    }

    /// With another number of connections.
    #[must_use]
    pub const fn with_most(self, most: Option<u64>) -> Self {
        let most = match most {
            Some(most) => most,
            None => u64::MAX,
        };
        Self { most, ..self }
    }

    /// Counted in that row.
    #[must_use]
    pub const fn with_slot(self, slot: u32) -> Self {
        Self { slot, ..self }
    }

    /// The row that it is counted in.
    #[inline(always)]
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// With a policy.
    #[must_use]
    pub const fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Connections begin with a PROXY header, which networks of the set `senders` may send, or may begin with one.
    /// `proxied`: what holds for the source in it.
    #[must_use]
    pub const fn reading_headers(self, senders: u64, proxied: Policy, optional: bool) -> Self {
        let flags = self.flags | READS_HEADERS | if optional { OPTIONAL } else { 0 };
        Self { senders, proxied, flags, ..self }
    }

    /// True: PROXY headers are read here.
    #[inline(always)]
    pub const fn reads_headers(&self) -> bool {
        self.flags & READS_HEADERS != 0
    }

    /// Why a connection whose first segment says that is refused. What cannot be told yet is for user space to judge, and so
    /// is who sends something else where a header is required: that costs nobody a token.
    #[inline(always)]
    pub fn refuses_header(
        &self,
        said: &Said,
        segment: &Opening,
        sources: &impl Sources,
    ) -> Option<DropReason> {
        let is_whole = said.begins(Begins::Named) || said.begins(Begins::Nameless);
        let is_header = is_whole || said.begins(Begins::Malformed);
        if is_header && !Policy::is_sender(self.senders, segment, sources) {
            return Some(DropReason::ProxyUntrusted);
        }
        if said.begins(Begins::Malformed) {
            return Some(DropReason::ProxyMalformed);
        }
        let is_left_out = said.begins(Begins::Otherwise) && self.flags & OPTIONAL != 0;
        if is_whole || is_left_out { self.proxied.refuses_client(said, segment, sources) } else { None }
    }

    /// Every set of networks that it refers to; 0: none.
    pub const fn networks(&self) -> [u64; 3] {
        [self.policy.networks(), self.proxied.networks(), self.senders]
    }

    /// The id of the [`QuotaKey`](crate::QuotaKey).
    #[inline(always)]
    pub const fn quota(&self) -> u64 {
        self.quota
    }

    /// `None`: any number.
    pub const fn most(&self) -> Option<u64> {
        if self.most == u64::MAX { None } else { Some(self.most) }
    }

    /// What holds for who connects.
    #[inline(always)]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// True: there is a number that is enough.
    #[inline(always)]
    pub const fn is_limited(&self) -> bool {
        self.most != u64::MAX
    }

    /// True: with that many open connections there is room for no more.
    #[inline(always)]
    pub const fn is_reached(&self, open: i64) -> bool {
        open >= 0 && open as u64 >= self.most
    }
}
