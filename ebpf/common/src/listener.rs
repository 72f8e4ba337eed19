use crate::{Policy, address::Address};

/// Names a listening socket: a network namespace, an address and a port.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerKey {
    netns: u64,
    address: Address,
    port: u16,
    padding: [u16; 3],
}

const _: () = assert!(size_of::<ListenerKey>() == 32);

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
        Self { netns, address, port, padding: [0; 3] }
    }

    /// The wildcard of the same family, namespace and port.
    #[inline(always)]
    pub const fn wildcard(&self) -> Self {
        Self::of(self.netns, self.address.wildcard(), self.port)
    }

    /// The namespace's cookie.
    pub const fn netns(&self) -> u64 {
        self.netns
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
    pub const fn port(&self) -> u16 {
        u16::from_be(self.port)
    }
}

/// What a listening socket counts towards, how many connections that may have, and what holds for who connects. Written
/// by user space only.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    quota: u64,
    most: u64,
    policy: Policy,
}

const _: () = assert!(size_of::<Limit>() == 80);

impl Limit {
    /// `quota`: the id of a [`QuotaKey`](crate::QuotaKey). `most`: `None`: any number, which are only counted.
    pub const fn new(quota: u64, most: Option<u64>) -> Self {
        let most = match most {
            Some(most) => most,
            None => u64::MAX,
        };
        Self { quota, most, policy: Policy::NONE }
    }

    /// With a policy.
    #[must_use]
    pub const fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
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
