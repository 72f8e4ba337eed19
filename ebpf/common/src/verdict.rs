use crate::{Limit, ListenerKey, Opening, Packet, QuotaKey};

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
}

/// Why a frame is refused. The value is the index of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DropReason {
    /// The quota has as many connections as it may have.
    OverConnectionLimit = 0,
    /// Likewise, and the sender got no answer: more resets than [`Pace`](crate::Pace) admits, or none could be made.
    Unanswered = 4,
}

/// Why a frame was not judged. The value is the index of its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Unread {
    /// A part of a fragmented packet: only the first has ports.
    Fragment = 1,
    /// A header is shorter than it must be, or says what cannot be.
    Malformed = 2,
    /// More VLAN tags or IPv6 extension headers than are looked behind.
    TooDeep = 3,
}

/// Counters per processor: one for each reason.
pub const REASONS: u32 = 5;

impl DropReason {
    /// The index of its counter, below [`REASONS`].
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self as u32
    }

    /// As metrics and logs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OverConnectionLimit => "over_connection_limit",
            Self::Unanswered => "unanswered",
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
    fn limit(&self, listener: &ListenerKey) -> Option<Limit>;

    /// Open connections of a quota; 0 where nobody counts.
    fn open(&self, quota: &QuotaKey) -> i64;

    /// True: the address is one of the host's own. `host` is that address with port 0. Others may be behind the
    /// host, which sends on what goes there: no wildcard of ours is meant.
    fn is_local(&self, host: &ListenerKey) -> bool;
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

/// Judges a frame that comes in by an interface of the namespace `netns`: a SYN to a listening socket whose quota
/// has all the connections that it may have is refused, and so is the end of a handshake that was let begin before.
#[inline(always)]
pub fn judge<P: Packet>(
    packet: &P,
    netns: u64,
    listeners: &impl Listeners,
    handshakes: &impl Handshakes,
) -> Verdict {
    let opening = match Opening::read(packet, || handshakes.filled_lately()) {
        Ok(opening) => opening,
        Err(None) => return Verdict::Pass,
        Err(Some(unread)) => return Verdict::PassUnread(unread),
    };
    let exact = ListenerKey::of(netns, opening.destination, opening.ports.1);
    let Some(found) = find(&exact, listeners) else { return Verdict::Pass };
    let quota = QuotaKey::new(netns, found.limit.quota());
    if found.limit.most().is_none() || !found.limit.is_reached(listeners.open(&quota)) {
        return Verdict::Pass;
    }
    if found.by_wildcard && !listeners.is_local(&ListenerKey::of(netns, opening.destination, 0)) {
        return Verdict::Pass;
    }
    if opening.is_last() && !handshakes.is_open(&opening) {
        return Verdict::Pass;
    }
    Verdict::Refuse(Refusal { opening, quota, reason: DropReason::OverConnectionLimit })
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its row.
    pub limit: Limit,
    /// True: it listens on every address.
    pub by_wildcard: bool,
}

/// The socket that a connection to this address and port comes to: one of that very address goes before a wildcard,
/// as in the kernel's own lookup.
#[inline(always)]
pub fn find(exact: &ListenerKey, listeners: &impl Listeners) -> Option<Found> {
    if let Some(limit) = listeners.limit(exact) {
        return Some(Found { limit, by_wildcard: false });
    }
    let limit = listeners.limit(&exact.wildcard())?;
    Some(Found { limit, by_wildcard: true })
}
