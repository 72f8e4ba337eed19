use crate::{Limit, ListenerKey, Opening, Packet, QuotaKey, Sources};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the network stack.
    Pass,
    /// To the network stack, which may refuse it for itself; counted.
    PassUnread(Unread),
    /// Refused; counted for its quota.
    Refuse(Refusal),
}

/// A connection that is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The segment that asked.
    pub opening: Opening,
    /// The row that says no.
    pub quota: QuotaKey,
    /// Why.
    pub reason: DropReason,
    /// True: the sender gets no answer.
    pub silent: bool,
}

/// Why a frame is refused. The value is the index of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DropReason {
    /// The quota has as many connections as it may have.
    OverConnectionLimit = 0,
    /// The source's network may not connect.
    SourceDenied = 1,
    /// Only some may connect, and the source is none of them.
    SourceNotAllowed = 2,
    /// The source has as many connections as one may have.
    OverSourceLimit = 3,
    /// The source's network has as many connections as one may have.
    OverPrefixLimit = 4,
    /// The source is too quick.
    OverSourceRate = 5,
    /// All together are too quick for the listener.
    OverListenerRate = 6,
}

/// Why a frame was not judged. The value is the index of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Unread {
    /// A part of a fragmented packet: only the first has ports.
    Fragment = 16,
    /// A header is shorter than it must be, or says what cannot be.
    Malformed = 17,
    /// More VLAN tags or IPv6 extension headers than are looked behind.
    TooDeep = 18,
}

/// Counters per processor: one for each [`DropReason`] and [`Unread`], and [`EVICTED`].
pub const REASONS: u32 = 20;

/// The index of a counter: connections that ended when the row that counted them by source or network was another one's
/// already.
pub const EVICTED: u32 = 19;

impl DropReason {
    /// Every reason, by index.
    pub const ALL: [Self; 7] = [
        Self::OverConnectionLimit,
        Self::SourceDenied,
        Self::SourceNotAllowed,
        Self::OverSourceLimit,
        Self::OverPrefixLimit,
        Self::OverSourceRate,
        Self::OverListenerRate,
    ];

    /// The index of its counter, below [`REASONS`].
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// As metrics and logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OverConnectionLimit => "over_connection_limit",
            Self::SourceDenied => "source_denied",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::OverSourceLimit => "over_source_limit",
            Self::OverPrefixLimit => "over_prefix_limit",
            Self::OverSourceRate => "over_source_rate",
            Self::OverListenerRate => "over_listener_rate",
        }
    }
}

impl Unread {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Fragment, Self::Malformed, Self::TooDeep];

    /// The index of its counter, below [`REASONS`].
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// As metrics and logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fragment => "fragment",
            Self::Malformed => "malformed",
            Self::TooDeep => "too_deep",
        }
    }
}

/// What is known of listening sockets.
pub trait Listeners {
    /// The row of exactly that key.
    fn limit(&self, listener: &ListenerKey) -> Option<&Limit>;

    /// Open connections of a quota; 0 where nobody counts.
    fn open(&self, quota: &QuotaKey) -> i64;

    /// What is known of those who connect to sockets of a quota.
    fn sources(&self, quota: &QuotaKey) -> impl Sources;
}

/// What is known of handshakes that have begun.
pub trait Handshakes {
    /// True: a quota has become full within [`HANDSHAKE`] nanoseconds. Otherwise no handshake that was let begin
    /// can end at a full one, and no segment needs to be looked at for that.
    fn filled_lately(&self) -> bool;

    /// True: the segment is for a handshake that has not ended, or for a listening socket itself, which remembers
    /// none (SYN cookies). It is asked for segments that may be the last of one.
    fn is_open(&self, segment: &Opening) -> bool;
}

/// How long a handshake may last, nanoseconds: five retransmissions, which double their distance, take 63 s, and a
/// SYN cookie is good for two minutes. Where a namespace is set to more, accept decides alone.
pub const HANDSHAKE: u64 = 128_000_000_000;

/// None has begun.
impl Handshakes for () {
    fn filled_lately(&self) -> bool {
        false
    }

    fn is_open(&self, _: &Opening) -> bool {
        false
    }
}

/// Judges a frame that comes in by an interface of the namespace `netns`: a SYN to a listening socket whose policy or
/// quota has no room for it is refused, and so is the end of a handshake that was let begin before. A socket that listens
/// on every address has a row for each of the host's own (`Listeners`): others may be behind the host, which sends on what
/// goes there.
#[inline(always)]
pub fn judge<P: Packet, L: Listeners>(
    packet: &P,
    netns: u64,
    listeners: &L,
    handshakes: &impl Handshakes,
) -> Verdict {
    let opening = match Opening::read(packet, || handshakes.filled_lately()) {
        Ok(opening) => opening,
        Err(None) => return Verdict::Pass,
        Err(Some(unread)) => return Verdict::PassUnread(unread),
    };
    let exact = ListenerKey::of(netns, opening.destination, opening.ports.1);
    let Some(limit) = listeners.limit(&exact) else { return Verdict::Pass };
    let quota = QuotaKey::new(netns, limit.quota());
    let (reason, silent) = match limit.policy().refuses(&opening, &listeners.sources(&quota)) {
        Some(reason) => (reason, limit.policy().drops()),
        None if limit.is_limited() && limit.is_reached(listeners.open(&quota)) => {
            (DropReason::OverConnectionLimit, false)
        }
        None => return Verdict::Pass,
    };
    if opening.is_last() && !handshakes.is_open(&opening) {
        return Verdict::Pass;
    }
    Verdict::Refuse(Refusal { opening, quota, reason, silent })
}

/// The socket that a connection to this address and port comes to: one of that very address goes before a wildcard, as
/// in the kernel's own lookup.
#[inline(always)]
pub fn find<'a>(exact: &ListenerKey, listeners: &'a impl Listeners) -> Option<&'a Limit> {
    match listeners.limit(exact) {
        Some(limit) => Some(limit),
        None => listeners.limit(&exact.wildcard()),
    }
}
