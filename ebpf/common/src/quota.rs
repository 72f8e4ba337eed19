/// Names what is counted together: the sockets of all addresses that one limit is about.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaKey {
    netns: u64,
    id: u64,
}

const _: () = assert!(size_of::<QuotaKey>() == 16);

impl QuotaKey {
    /// `netns`: the namespace's cookie. `id`: user space's choice, the same after a restart.
    #[inline(always)]
    pub const fn new(netns: u64, id: u64) -> Self {
        Self { netns, id }
    }

    /// The namespace's cookie.
    pub const fn netns(&self) -> u64 {
        self.netns
    }

    /// User space's choice.
    pub const fn id(&self) -> u64 {
        self.id
    }
}

/// Open connections of a quota. Inserted by user space, then added to by the kernel half only.
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

/// What one processor has refused for a quota, by tier.
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
    quota: QuotaKey,
    epoch: u64,
    state: u64,
}

const _: () = assert!(size_of::<Mark>() == 32);

const COUNTED: u64 = 1;
const TAKEN_OFF: u64 = 2;

impl Mark {
    /// A connection that is counted from now on, in the row of that key and epoch.
    #[inline(always)]
    pub const fn counted(quota: QuotaKey, epoch: u64) -> Self {
        Self { quota, epoch, state: COUNTED }
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
    pub const fn quota(&self) -> &QuotaKey {
        &self.quota
    }

    /// The row's epoch.
    #[inline(always)]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}
