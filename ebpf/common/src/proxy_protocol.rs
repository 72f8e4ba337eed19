//! The PROXY protocol, versions 1 and 2, one byte at a time.
//!
//! [`Parser`] is an automaton without allocation, loop over input or panic, which the host feeds what it has read. It ends
//! with the header's last byte, so that the byte after it belongs to the protocol inside; and it says at the first byte
//! that differs that a connection does not begin with a header at all. The kernel half has the whole
//! segment at hand: it reads version 2 at once ([`read_binary`](crate::read_binary)) and version 1 number by number
//! ([`WholeLine`]), and steps the [`Line`] from `bpf_loop` for what is not as senders write it; tests and a fuzz target hold
//! all that against the automaton.
//!
//! Source: haproxy's `doc/proxy-protocol.txt`, revision of 2023 (version 1 §2.1, version 2 §2.2), read strictly:
//! what two readers could take differently is malformed.

mod address;
pub mod block;
pub mod crc32c;
mod decimal;
mod endpoint;
mod header;
mod tlv;
mod v1;
mod v2;
mod whole;

pub use endpoint::{Addresses, Endpoint};
pub use header::{Header, Malformed};
pub use v1::Line;
use v2::Binary;
pub use whole::{Progress, WholeLine};

/// What every version 1 header begins with, and no request of HTTP or record of TLS.
pub const V1_SIGNATURE: [u8; 6] = *b"PROXY ";

/// What every version 2 header begins with.
pub const V2_SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Most bytes of a version 1 header, CR LF included (§2.1).
pub const V1_MAX_LENGTH: usize = 107;

/// Most bytes of a version 2 header that we accept. The format allows 65,551; the largest that senders make is
/// some hundred bytes of addresses and TLVs, and 1 to 3 KiB where a client certificate rides along. It is read
/// before anything is known of the client, so the bound is one page.
pub const V2_MAX_LENGTH: usize = 4096;

/// What the bytes so far come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Cannot be told yet.
    NeedMore,
    /// The byte just read was the header's last.
    Done(Header),
    /// The connection does not begin with a header: its bytes belong to another protocol.
    NotProxy,
    /// It begins like a header and cannot become one.
    Malformed(Malformed),
}

/// Reads a header of either version. `Copy`, small, and without a reference.
#[derive(Clone, Copy, Debug)]
pub struct Parser {
    consumed: u16,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    /// As many bytes of the signature as this were read.
    V1Signature(u8),
    V2Signature(u8),
    V1(Line),
    V2(Binary),
    Ended(Step),
}

const _: () = assert!(size_of::<Parser>() <= 128);

impl Parser {
    /// At a connection's first byte.
    pub const fn new() -> Self {
        Self { consumed: 0, state: State::Start }
    }

    /// Reads one byte. Once it has answered anything but [`Step::NeedMore`], it answers the same for ever and
    /// consumes nothing more.
    pub fn step(&mut self, byte: u8) -> Step {
        let (step, next) = match &mut self.state {
            State::Start => first(byte),
            State::V1Signature(matched) => v1_signature(*matched, byte),
            State::V2Signature(matched) => v2_signature(*matched, byte),
            State::V1(line) => (line.step(byte), None),
            State::V2(binary) => (binary.step(byte), None),
            State::Ended(step) => return *step,
        };
        self.consumed += 1;
        match (step, next) {
            (Step::NeedMore, Some(next)) => self.state = next,
            (Step::NeedMore, None) => {}
            (end, _) => self.state = State::Ended(end),
        }
        step
    }

    /// Reads bytes up to the first that ends the header, or all. [`Parser::consumed`] says how many.
    pub fn feed(&mut self, bytes: &[u8]) -> Step {
        for byte in bytes {
            match self.step(*byte) {
                Step::NeedMore => {}
                end => return end,
            }
        }
        match self.state {
            State::Ended(step) => step,
            _ => Step::NeedMore,
        }
    }

    /// How many bytes were read: the header's length once it is [`Step::Done`].
    pub const fn consumed(&self) -> usize {
        self.consumed as usize
    }

    /// True once a whole signature was seen: the connection begins with a header, sound or not. Whether its
    /// sender may send one can be asked from here on.
    pub const fn is_recognised(&self) -> bool {
        !matches!(
            self.state,
            State::Start | State::V1Signature(_) | State::V2Signature(_) | State::Ended(Step::NotProxy)
        )
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

fn first(byte: u8) -> (Step, Option<State>) {
    if byte == V1_SIGNATURE[0] {
        (Step::NeedMore, Some(State::V1Signature(1)))
    } else if byte == V2_SIGNATURE[0] {
        (Step::NeedMore, Some(State::V2Signature(1)))
    } else {
        (Step::NotProxy, None)
    }
}

fn v1_signature(matched: u8, byte: u8) -> (Step, Option<State>) {
    if V1_SIGNATURE.get(usize::from(matched)) != Some(&byte) {
        (Step::NotProxy, None)
    } else if usize::from(matched) + 1 == V1_SIGNATURE.len() {
        (Step::NeedMore, Some(State::V1(Line::new())))
    } else {
        (Step::NeedMore, Some(State::V1Signature(matched + 1)))
    }
}

fn v2_signature(matched: u8, byte: u8) -> (Step, Option<State>) {
    if V2_SIGNATURE.get(usize::from(matched)) != Some(&byte) {
        (Step::NotProxy, None)
    } else if usize::from(matched) + 1 == V2_SIGNATURE.len() {
        (Step::NeedMore, Some(State::V2(Binary::new())))
    } else {
        (Step::NeedMore, Some(State::V2Signature(matched + 1)))
    }
}
