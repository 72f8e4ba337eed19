use crate::address::Address;

/// Names a listening socket in every map: a network namespace, an address and a port.
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

/// How many connections a listening socket may have. Written by user space only.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    most: u64,
}

const _: () = assert!(size_of::<Limit>() == 8);

impl Limit {
    /// `None`: any number, which are only counted.
    pub const fn new(most: Option<u64>) -> Self {
        Self {
            most: match most {
                Some(most) => most,
                None => u64::MAX,
            },
        }
    }

    /// `None`: any number.
    pub const fn most(&self) -> Option<u64> {
        if self.most == u64::MAX { None } else { Some(self.most) }
    }

    /// True: a listening socket with that many open connections takes no more.
    #[inline(always)]
    pub const fn is_reached(&self, open: i64) -> bool {
        open >= 0 && open as u64 >= self.most
    }
}

/// Open connections of a listening socket. Inserted by user space, then added to by the kernel half only.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    open: i64,
    epoch: u64,
}

const _: () = assert!(size_of::<Count>() == 16);

/// Where [`Count::open`] lies, for the atomic instruction that adds to it.
pub const COUNT_OPEN_OFFSET: usize = core::mem::offset_of!(Count, open);

impl Count {
    /// None open. `epoch` tells this row from one with the same key before or after it, so that a connection
    /// that an earlier row counted is not taken off this one.
    pub const fn new(epoch: u64) -> Self {
        Self { open: 0, epoch }
    }

    /// Connections that are open.
    pub const fn open(&self) -> i64 {
        self.open
    }

    /// When the row was made.
    #[inline(always)]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// What one processor has refused for a listening socket, by tier.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    xdp: u64,
    tc: u64,
}

const _: () = assert!(size_of::<Refused>() == 16);

impl Refused {
    /// Counts a SYN that XDP has answered with a reset.
    #[inline(always)]
    pub fn count_xdp(&mut self) {
        self.xdp = self.xdp.wrapping_add(1);
    }

    /// Counts a SYN that TC has dropped.
    #[inline(always)]
    pub fn count_tc(&mut self) {
        self.tc = self.tc.wrapping_add(1);
    }

    /// SYNs that XDP has answered with a reset.
    pub const fn xdp(&self) -> u64 {
        self.xdp
    }

    /// SYNs that TC has dropped.
    pub const fn tc(&self) -> u64 {
        self.tc
    }
}

/// What is remembered with a connection's socket, so that it is counted once and taken off once, whichever and
/// however many programs see it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    listener: ListenerKey,
    epoch: u64,
    state: u64,
}

const _: () = assert!(size_of::<Mark>() == 48);

const COUNTED: u64 = 1;
const TAKEN_OFF: u64 = 2;

impl Mark {
    /// A connection that is counted from now on, in the row of that key and epoch.
    #[inline(always)]
    pub const fn counted(listener: ListenerKey, epoch: u64) -> Self {
        Self { listener, epoch, state: COUNTED }
    }

    /// True before [`Mark::counted`]: a socket's storage begins as zeros.
    #[inline(always)]
    pub const fn is_fresh(&self) -> bool {
        self.state == 0
    }

    /// True the first time: the connection is to be taken off its row.
    #[inline(always)]
    pub fn take_off(&mut self) -> bool {
        let counted = self.state == COUNTED;
        if counted {
            self.state = TAKEN_OFF;
        }
        counted
    }

    /// The row that counts it.
    #[inline(always)]
    pub const fn listener(&self) -> &ListenerKey {
        &self.listener
    }

    /// The row's epoch.
    #[inline(always)]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}
