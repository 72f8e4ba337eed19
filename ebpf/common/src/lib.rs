//! What both halves of the gateway agree on: the layout of every BPF map, what becomes of a frame, and the bytes
//! of an answer. Pure functions without allocation, which run on the host, where they are tested, and in the
//! kernel, where `ebpf/programs` wraps them.

#![no_std]

mod address;
mod checksum;
mod ending;
mod event;
mod first_segment;
mod frame;
mod ip;
mod listener;
mod pace;
mod packet;
mod policy;
pub mod proxy_protocol;
mod quota;
mod reset;
mod segment;
mod verdict;

pub use ending::Ending;
pub use event::{Desk, Event, Telling, Tier};
pub use first_segment::{Beginning, Begins, FlowKey, Said, read_binary};
pub use listener::{Limit, ListenerKey};
pub use pace::Pace;
pub use packet::{Bytes, Packet};
pub use policy::{
    NetworkKey, Networks, Policy, Rate, SOURCE_OPEN_OFFSET, SourceCount, SourceKey, SourceMark, Sources,
};
pub use quota::{Answer, Answers, COUNT_OPEN_OFFSET, Count, Mark, QuotaKey, Refused};
pub use reset::{RESET_V4, RESET_V6, Reset};
pub use segment::{Ends, Opening};
pub use verdict::{
    DropReason, EVICTED, HANDSHAKE, Handshakes, Headers, Listeners, REASONS, Refusal, Unread, Verdict, find,
    is_unrelated, judge,
};

/// Version of the map layouts. The object file carries it, the loader checks it, and pins live in a directory
/// named for it: two versions never share a map. A gateway reads of an earlier one's pins what the limits are and how many
/// connections are still counted, by the layout that version had: whoever changes [`ListenerKey`], [`QuotaKey`],
/// [`Limit`], [`Count`] or how their maps are keyed raises this number and keeps the former layout with the loader's
/// earlier ones.
pub const ABI_VERSION: u32 = 3;

/// Names of maps and programs in the object file.
pub mod names {
    /// Array whose number of entries is [`ABI_VERSION`](crate::ABI_VERSION).
    pub const ABI: &str = "ABI";
    /// [`ListenerKey`](crate::ListenerKey) to [`Limit`](crate::Limit), one row per listening socket.
    pub const LIMITS: &str = "LIMITS";
    /// Array of [`Count`](crate::Count).
    pub const COUNTS: &str = "COUNTS";
    /// Index in [`COUNTS`] to the [`QuotaKey`](crate::QuotaKey) that is counted there; for user space.
    pub const SLOTS: &str = "SLOTS";
    /// Array by port: 0 where no row of [`LIMITS`] has it, so that what is for others is not looked up.
    pub const PORTS: &str = "PORTS";
    /// [`QuotaKey`](crate::QuotaKey) to [`Refused`](crate::Refused), per processor.
    pub const REFUSED: &str = "REFUSED";
    /// Trie of [`NetworkKey`](crate::NetworkKey) to [`Networks`](crate::Networks).
    pub const NETWORKS: &str = "NETWORKS";
    /// [`SourceKey`](crate::SourceKey) to [`SourceCount`](crate::SourceCount); the one that was asked for the longest ago
    /// makes room.
    pub const SOURCES: &str = "SOURCES";
    /// [`SourceKey`](crate::SourceKey) to the time when its bucket is full again, likewise.
    pub const BUCKETS: &str = "BUCKETS";
    /// Storage of sockets: [`SourceMark`](crate::SourceMark).
    pub const SOURCE_MARKS: &str = "SOURCE_MARKS";
    /// Per processor, one counter per [`DropReason`](crate::DropReason) and [`Unread`](crate::Unread).
    pub const REASONS: &str = "REASONS";
    /// Storage of sockets: [`Mark`](crate::Mark).
    pub const MARKS: &str = "MARKS";
    /// [`FlowKey`](crate::FlowKey) to [`Beginning`](crate::Beginning).
    pub const BEGINNINGS: &str = "BEGINNINGS";
    /// 1: PROXY headers are read; set before the programs are loaded.
    pub const HEADERS: &str = "HEADERS";
    /// One number: when a quota last became full, nanoseconds of the monotonic clock; 0: none has.
    pub const FILLED: &str = "FILLED";
    /// Per processor, one [`Desk`](crate::Desk).
    pub const DESK: &str = "DESK";
    /// Ring buffer of [`Event`](crate::Event)s.
    pub const EVENTS: &str = "EVENTS";
    /// Nanoseconds between events of one processor; set before the programs are loaded.
    pub const EVENT_INTERVAL: &str = "EVENT_INTERVAL";
    /// Nanoseconds between resets of one processor; set before the programs are loaded.
    pub const RESET_INTERVAL: &str = "RESET_INTERVAL";
    /// Cookie of the network namespace that interfaces belong to; set before the programs are loaded.
    pub const NETNS: &str = "NETNS";
    /// XDP, for drivers and kernels (5.18) that can split a frame over several buffers.
    pub const XDP_FRAGS: &str = "gateway_xdp_frags";
    /// XDP, for the others.
    pub const XDP: &str = "gateway_xdp";
    /// As [`XDP_FRAGS`], for a veth, whose answers take another way.
    pub const VETH_FRAGS: &str = "gateway_veth_frags";
    /// As [`XDP`], for a veth.
    pub const VETH: &str = "gateway_veth";
    /// TC classifier.
    pub const TC: &str = "gateway_tc";
    /// Counts connections.
    pub const SOCK_OPS: &str = "gateway_sockops";
    /// Drops everything: what the others are measured beside.
    pub const BARE_DROP: &str = "bare_drop";
}
