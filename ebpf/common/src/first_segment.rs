use crate::{
    Bytes, Opening, Packet,
    address::Address,
    proxy_protocol::{Endpoint, V1_SIGNATURE, V2_MAX_LENGTH, V2_SIGNATURE},
};

/// A connection by both ends, as its segments come in: sender, receiver, ports as they lie in a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) ports: [u16; 2],
}

const _: () = assert!(size_of::<FlowKey>() == 36);

impl FlowKey {
    /// Addresses, IPv4 in IPv6's form, and ports of sender and receiver.
    pub const fn new(source: ([u8; 16], u16), destination: ([u8; 16], u16)) -> Self {
        Self {
            source: Address::new(source.0),
            destination: Address::new(destination.0),
            ports: [source.1.to_be(), destination.1.to_be()],
        }
    }

    #[inline(always)]
    pub(crate) const fn of(segment: &Opening) -> Self {
        Self {
            source: segment.source,
            destination: segment.destination,
            ports: [segment.ports.0, segment.ports.1],
        }
    }
}

/// What the first segment of a connection says of who is really calling. Written by the kernel half, read and removed
/// by user space, which reads the header too and has the last word.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    source: Address,
    destination: Address,
    /// Of source and destination, as they lie in a packet.
    ports: [u16; 2],
    /// What it begins with; 0: it has not come.
    what: u16,
    length: u16,
}

const _: () = assert!(size_of::<Said>() == 40);

/// What a first segment begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Begins {
    /// A whole header that names the ends of a TCP connection.
    Named = 1,
    /// A whole header that names nobody: LOCAL, UNKNOWN, or no TCP.
    Nameless = 2,
    /// A header that goes on in the next segment, or what may become one.
    Partly = 3,
    /// What begins like a header and cannot become one.
    Malformed = 4,
    /// Something else.
    Otherwise = 5,
    /// What has ended the connection: it was refused, and counted for that.
    Refused = 6,
}

impl Said {
    const NOTHING: Self =
        Self { source: Address::NONE, destination: Address::NONE, ports: [0; 2], what: 0, length: 0 };

    /// Nothing else than what it begins with, and the header's length if it is whole.
    #[inline(always)]
    pub const fn nameless(begins: Begins, length: u16) -> Self {
        Self { what: begins as u16, length, ..Self::NOTHING }
    }

    /// A whole header of that length.
    #[inline(always)]
    pub const fn named(source: Endpoint, destination: Endpoint, length: u16) -> Self {
        Self {
            source: Address::new(source.address()),
            destination: Address::new(destination.address()),
            ports: [source.port().to_be(), destination.port().to_be()],
            what: Begins::Named as u16,
            length,
        }
    }

    /// Likewise, of what lies in a packet.
    #[inline(always)]
    pub(crate) const fn of(ends: (Address, Address), ports: [u16; 2], length: u16) -> Self {
        Self { source: ends.0, destination: ends.1, ports, what: Begins::Named as u16, length }
    }

    /// Both ends, if the header names them.
    pub fn ends(&self) -> Option<(Endpoint, Endpoint)> {
        let [from, to] = self.ports.map(u16::from_be);
        (self.what == Begins::Named as u16)
            .then(|| (Endpoint::new(self.source.bytes(), from), Endpoint::new(self.destination.bytes(), to)))
    }

    /// Addresses and ports of both ends as they lie in a packet; zeros where none are named.
    #[inline(always)]
    pub(crate) const fn as_they_lie(&self) -> (Address, Address, [u16; 2]) {
        (self.source, self.destination, self.ports)
    }

    /// True: it begins so.
    #[inline(always)]
    pub const fn begins(&self, with: Begins) -> bool {
        self.what == with as u16
    }

    /// Bytes of a whole header.
    pub const fn length(&self) -> u16 {
        self.length
    }

    /// Whose address counts: the source in the header, else the peer.
    #[inline(always)]
    pub(crate) const fn client(&self, peer: Address) -> Address {
        if self.begins(Begins::Named) { self.source } else { peer }
    }
}

/// The beginning of a connection: where it is, and what it says once it has come.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    said: Said,
    /// The sequence number of the first byte, as [`Opening::first_byte`] has it.
    first_byte: u32,
}

const _: () = assert!(size_of::<Beginning>() == 44);

impl Beginning {
    /// All zeros say nothing; it is to come with this byte.
    #[inline(always)]
    pub const fn with(&mut self, first_byte: u32) {
        self.first_byte = first_byte;
    }

    /// True: it has not come before, and would with this byte.
    #[inline(always)]
    pub const fn is_awaited(&self, first_byte: u32) -> bool {
        self.said.what == 0 && self.first_byte == first_byte
    }

    /// It has come, and says that.
    #[inline(always)]
    pub const fn come(&mut self, said: Said) {
        self.said = said;
    }

    /// What it says; `None`: it has not come.
    pub fn said(&self) -> Option<&Said> {
        (self.said.what != 0).then_some(&self.said)
    }
}

/// Signature, version and command, family and protocol, length.
const FIXED: usize = 16;

/// What a payload of `length` bytes at `at` of a frame begins with, as far as the binary version (2) goes. Says what the
/// automaton of [`Parser`](crate::proxy_protocol::Parser) says of the same bytes, but for TLVs, which it passes over, and for
/// fewer bytes than the fixed part has, which user space tells apart.
/// `None`: it may be a line of version 1, to be read byte by byte.
#[inline(always)]
pub fn read_binary<P: Packet>(packet: &P, at: usize, length: usize) -> Option<Said> {
    let Some(first) = packet.part(at, 1) else { return Some(Said::nameless(Begins::Partly, 0)) };
    if first.byte(0) == V1_SIGNATURE[0] {
        return None;
    }
    if first.byte(0) != V2_SIGNATURE[0] {
        return Some(Said::nameless(Begins::Otherwise, 0));
    }
    // What is shorter may become a header, or not: user space reads on.
    let (true, Some(fixed)) = (length >= FIXED, packet.part(at, FIXED)) else {
        return Some(Said::nameless(Begins::Partly, 0));
    };
    let signature = [
        u32::from_ne_bytes([V2_SIGNATURE[0], V2_SIGNATURE[1], V2_SIGNATURE[2], V2_SIGNATURE[3]]),
        u32::from_ne_bytes([V2_SIGNATURE[4], V2_SIGNATURE[5], V2_SIGNATURE[6], V2_SIGNATURE[7]]),
        u32::from_ne_bytes([V2_SIGNATURE[8], V2_SIGNATURE[9], V2_SIGNATURE[10], V2_SIGNATURE[11]]),
    ];
    if [fixed.word(0), fixed.word(4), fixed.word(8)] != signature {
        return Some(Said::nameless(Begins::Otherwise, 0));
    }
    let (command, family, rest) = (fixed.byte(12), fixed.byte(13), usize::from(u16::from_be(fixed.half(14))));
    let local = command == 0x20;
    let addresses = match family {
        _ if local => 0,
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => return Some(Said::nameless(Begins::Malformed, 0)),
    };
    if !(local || command == 0x21) || rest < addresses || FIXED + rest > V2_MAX_LENGTH {
        return Some(Said::nameless(Begins::Malformed, 0));
    }
    if length < FIXED + rest {
        return Some(Said::nameless(Begins::Partly, 0));
    }
    let whole = (FIXED + rest) as u16;
    match family {
        0x11 if !local => {
            let Some(block) = packet.part(at + FIXED, 12) else {
                return Some(Said::nameless(Begins::Partly, 0));
            };
            let end = |place: usize| Address::v4(block.word(place));
            Some(Said::of((end(0), end(4)), [block.half(8), block.half(10)], whole))
        }
        0x21 if !local => {
            let Some(block) = packet.part(at + FIXED, 36) else {
                return Some(Said::nameless(Begins::Partly, 0));
            };
            let end = |place: usize| {
                let words = [0, 4, 8, 12].map(|word| block.word(place + word));
                Address::v6(words)
            };
            Some(Said::of((end(0), end(16)), [block.half(32), block.half(34)], whole))
        }
        _ => Some(Said::nameless(Begins::Nameless, whole)),
    }
}
