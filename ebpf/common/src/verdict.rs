use crate::{Limit, ListenerKey, Opening, Packet, QuotaKey, Sources, segment};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the network stack.
    Pass,
    /// To the network stack, which may refuse it for itself; counted.
    PassUnread(Unread),
    /// Refused; counted for its quota.
    Refuse(Refusal),
    /// To the network stack, once a PROXY header at its beginning has been read and judged.
    ReadHeader,
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
    /// The peer may not send a PROXY header.
    ProxyUntrusted = 7,
    /// What begins like a PROXY header is none.
    ProxyMalformed = 8,
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
    pub const ALL: [Self; 9] = [
        Self::OverConnectionLimit,
        Self::SourceDenied,
        Self::SourceNotAllowed,
        Self::OverSourceLimit,
        Self::OverPrefixLimit,
        Self::OverSourceRate,
        Self::OverListenerRate,
        Self::ProxyUntrusted,
        Self::ProxyMalformed,
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
            Self::ProxyUntrusted => "proxy_untrusted",
            Self::ProxyMalformed => "proxy_malformed",
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

    /// Open connections of the quota of a row; 0 where nobody counts.
    fn open(&self, limit: &Limit) -> i64;

    /// What is known of those who connect to sockets of the quota of a row.
    fn sources(&self, limit: &Limit) -> impl Sources;
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

/// What is known of connections that begin with a PROXY header.
pub trait Headers {
    /// True: some socket reads headers, so that segments with data are to be looked at.
    fn are_read(&self) -> bool;

    /// A connection begins to a socket that reads headers: its first byte is the one behind this SYN.
    fn expect(&self, syn: &Opening);

    /// True: the segment, to a socket with this row, brings the first byte of a connection that was expected. Both are kept
    /// for who reads it.
    fn begins(&self, segment: &Opening, limit: &Limit) -> bool;
}

/// None is read.
impl Headers for () {
    fn are_read(&self) -> bool {
        false
    }

    fn expect(&self, _: &Opening) {}

    fn begins(&self, _: &Opening, _: &Limit) -> bool {
        false
    }
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

/// True: [`judge`] passes this frame, as it does most of a host, and counts nothing. Asked first, because it costs a tenth:
/// no tags, options or extension headers, and either no TCP or a segment that asks for nothing. `later`: is asked whether
/// one that a handshake may end with is wanted.
#[inline(always)]
pub fn is_unrelated<P: Packet>(packet: &P, later: impl FnOnce() -> bool) -> bool {
    segment::asks_nothing(packet, later).is_some()
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
    headers: &impl Headers,
) -> Verdict {
    let opening = match Opening::read(packet, || headers.are_read() || handshakes.filled_lately()) {
        Ok(opening) => opening,
        Err(None) => return Verdict::Pass,
        Err(Some(unread)) => return Verdict::PassUnread(unread),
    };
    let Some(limit) = listeners.limit(&opening.listener(netns)) else { return Verdict::Pass };
    // Where headers are read, segments come this far that nobody's limit is about.
    if !opening.is_last() || !headers.are_read() || handshakes.filled_lately() {
        let quota = QuotaKey::new(netns, limit.quota());
        let refused = match limit.policy().refuses(&opening, &listeners.sources(limit)) {
            Some(reason) => Some((reason, limit.policy().drops())),
            None if limit.is_limited() && limit.is_reached(listeners.open(limit)) => {
                Some((DropReason::OverConnectionLimit, false))
            }
            None => None,
        };
        if let Some((reason, silent)) = refused
            && (!opening.is_last() || handshakes.is_open(&opening))
        {
            return Verdict::Refuse(Refusal { opening, quota, reason, silent });
        }
    }
    if headers.are_read() && limit.reads_headers() {
        if !opening.is_last() {
            headers.expect(&opening);
        } else if opening.payload > 0 && headers.begins(&opening, limit) {
            return Verdict::ReadHeader;
        }
    }
    Verdict::Pass
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
