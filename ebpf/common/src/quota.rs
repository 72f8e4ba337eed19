use crate::{DropReason, Refusal};

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

/// Open connections of a quota. Begun by user space, then added to by the kernel half only.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    open: i64,
    epoch: u64,
    /// When the bucket of the listener's rate is full again.
    full_at: u64,
}

const _: () = assert!(size_of::<Count>() == 24);

/// Where [`Count::open`] lies, for the atomic instruction that adds to it.
pub const COUNT_OPEN_OFFSET: usize = core::mem::offset_of!(Count, open);

impl Count {
    /// None open. `epoch` tells this row from one with the same key before or after it, so that a connection
    /// that an earlier row counted is not taken off this one.
    pub const fn new(epoch: u64) -> Self {
        Self { open: 0, epoch, full_at: 0 }
    }

    /// Connections that are open.
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
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// When the bucket of the listener's rate is full again, nanoseconds of the monotonic clock.
    #[inline(always)]
    pub const fn full_at(&mut self) -> &mut u64 {
        &mut self.full_at
    }
}

/// What one processor has refused for a quota, by tier.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    xdp: Answers,
    tc: Answers,
}

/// Segments that one tier has refused, by reason, and what became of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// By [`DropReason`].
    refused: [u64; DropReason::ALL.len()],
    /// Those of them whose senders got no answer though they should have had one.
    unanswered: u64,
}

const _: () = assert!(size_of::<Refused>() == 2 * 8 * (DropReason::ALL.len() + 1));

impl Refused {
    /// Refused by XDP.
    #[inline(always)]
    pub const fn xdp(&mut self) -> &mut Answers {
        &mut self.xdp
    }

    /// Refused by TC.
    #[inline(always)]
    pub const fn tc(&mut self) -> &mut Answers {
        &mut self.tc
    }

    /// Of XDP and of TC.
    pub const fn tiers(&self) -> [Answers; 2] {
        [self.xdp, self.tc]
    }
}

impl Answers {
    /// Counts a segment.
    #[inline(always)]
    pub fn count(&mut self, reason: DropReason, answer: Answer) {
        // The reason is one of ours, and the compiler cannot tell that; it is not trusted to leave the check in.
        if let Some(total) = self.refused.get_mut(reason.index() as usize) {
            *total = total.wrapping_add(1);
        }
        if matches!(answer, Answer::Missing) {
            self.unanswered = self.unanswered.wrapping_add(1);
        }
    }

    /// Totals by reason.
    pub fn totals(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL.into_iter().zip(self.refused)
    }

    /// How many of all got no answer: more resets than [`Pace`](crate::Pace) admits, or none could be made.
    pub const fn unanswered(&self) -> u64 {
        self.unanswered
    }
}

/// What the sender of a refused segment gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A reset.
    Reset,
    /// Nothing, as the policy wishes.
    Silence,
    /// Nothing, though a reset was wished for.
    Missing,
}

impl Answer {
    /// What became of a refusal, once a reset was sent or not.
    #[inline(always)]
    pub const fn of(refusal: &Refusal, sent: bool) -> Self {
        match (sent, refusal.silent) {
            (true, _) => Self::Reset,
            (false, true) => Self::Silence,
            (false, false) => Self::Missing,
        }
    }
}

/// What is remembered with a connection's socket, so that it is counted once and taken off once, whichever and
/// however many programs see it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    epoch: u64,
    slot: u32,
    state: u32,
}

const _: () = assert!(size_of::<Mark>() == 16);

const COUNTED: u32 = 1;
const TAKEN_OFF: u32 = 2;

impl Mark {
    /// A connection that is counted from now on, in that row while it has that epoch.
    #[inline(always)]
    pub const fn counted(slot: u32, epoch: u64) -> Self {
        Self { epoch, slot, state: COUNTED }
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
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// The row's epoch.
    #[inline(always)]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }
}
