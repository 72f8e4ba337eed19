use crate::address::Address;

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

    /// The port.
    pub const fn port(&self) -> u16 {
        u16::from_be(self.port)
    }
}

/// What a listening socket counts towards, and how many connections that may have. Written by user space only.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    quota: u64,
    most: u64,
}

const _: () = assert!(size_of::<Limit>() == 16);

impl Limit {
    /// `quota`: the id of a [`QuotaKey`](crate::QuotaKey). `most`: `None`: any number, which are only counted.
    pub const fn new(quota: u64, most: Option<u64>) -> Self {
        match most {
            Some(most) => Self { quota, most },
            None => Self { quota, most: u64::MAX },
        }
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

    /// True: with that many open connections there is room for no more.
    #[inline(always)]
    pub const fn is_reached(&self, open: i64) -> bool {
        open >= 0 && open as u64 >= self.most
    }
}
