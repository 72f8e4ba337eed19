use crate::{
    Bytes, FlowKey, ListenerKey, Packet, Unread,
    address::Address,
    frame::{self, Network},
    ip::{self, FLAGS, TCP_HEADER},
};

/// A TCP segment that opens a connection, or that may be the last of a handshake, with what an answer needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// True: IPv6.
    pub(crate) v6: bool,
    /// Where the IP header begins, from the start of the frame.
    pub(crate) network: usize,
    /// Sender.
    pub(crate) source: Address,
    /// Receiver.
    pub(crate) destination: Address,
    /// Sender's and receiver's port, each in network order.
    pub(crate) ports: (u16, u16),
    /// Where the TCP header begins, likewise.
    pub(crate) transport: usize,
    /// Sequence number.
    pub(crate) sequence: u32,
    /// Bytes of payload that came along.
    pub(crate) payload: u32,
    /// Where they begin.
    pub(crate) payload_at: usize,
    /// What it acknowledges; `None`: a SYN.
    pub(crate) acknowledged: Option<u32>,
}

/// Both ends of a connection as the kernel's lookup wants them (`struct bpf_sock_tuple`), in words as they lie in a
/// packet: sender, receiver, ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// IPv4.
    V4([u32; 3]),
    /// IPv6.
    V6([u32; 9]),
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// True: these flags ask for a connection, or may end a handshake and `later` wants those. Others find no listening socket to
/// answer them, or are dropped there (RFC 9293 §3.10.7.2).
#[inline(always)]
fn asks(flags: u8, later: impl FnOnce() -> bool) -> bool {
    let flags = flags & (SYN | ACK | RST | FIN);
    flags == SYN || (flags & !FIN == ACK && later())
}

/// Looks at a frame in the places where most have their headers: `None` where one may ask for a connection, or lies elsewhere.
#[inline(always)]
pub(crate) fn asks_nothing<P: Packet>(packet: &P, later: impl FnOnce() -> bool) -> Option<()> {
    let flags = match frame::untagged(packet)? {
        Network::V4 => ip::plain_flags_in_v4(packet)?,
        Network::V6 => ip::plain_flags_in_v6(packet)?,
    };
    if asks(flags, later) { None } else { Some(()) }
}

impl Opening {
    /// Reads a frame. `Err(None)`: not a segment that opens a connection, which nothing is wrong with. `later`: is
    /// asked whether one that a handshake may end with is wanted too.
    #[inline(always)]
    pub fn read<P: Packet>(packet: &P, later: impl FnOnce() -> bool) -> Result<Self, Option<Unread>> {
        let (network, at) = frame::network(packet)?;
        let carried = match network {
            Network::V4 => ip::tcp_in_v4(packet, at)?,
            Network::V6 => ip::tcp_in_v6(packet, at)?,
        };
        let tcp = packet.part(carried.at, TCP_HEADER).ok_or(Unread::Malformed)?;
        if !asks(tcp.byte(FLAGS), later) {
            return Err(None);
        }
        let ends = tcp.byte(FLAGS) & SYN == 0;
        let header = usize::from(tcp.byte(12) >> 4) * 4;
        if header < TCP_HEADER || carried.length < header {
            return Err(Some(Unread::Malformed));
        }
        let (source, destination) = match network {
            Network::V4 => v4_addresses(packet, at)?,
            Network::V6 => v6_addresses(packet, at)?,
        };
        // No connection is made of those, so none is refused: a reset must not be sent to or from a group
        // (RFC 1122 §4.2.3.10). The frame's own destination is a group for broadcasts.
        let group = packet.part(0, 1).ok_or(Unread::Malformed)?.byte(0) & 1 != 0;
        if group || !source.is_unicast() || !destination.is_unicast() {
            return Err(None);
        }
        Ok(Self {
            v6: network == Network::V6,
            network: at,
            transport: carried.at,
            source,
            destination,
            ports: (tcp.half(0), tcp.half(2)),
            sequence: u32::from_be(tcp.word(4)),
            payload: (carried.length - header) as u32,
            payload_at: carried.at + header,
            acknowledged: if ends { Some(u32::from_be(tcp.word(8))) } else { None },
        })
    }

    /// Both ends.
    #[inline(always)]
    pub fn ends(&self) -> Ends {
        let ([a, b], [c, d]) = (self.ports.0.to_ne_bytes(), self.ports.1.to_ne_bytes());
        let ports = u32::from_ne_bytes([a, b, c, d]);
        let ([e, f, g, h], [i, j, k, l]) = (self.source.words(), self.destination.words());
        if self.v6 { Ends::V6([e, f, g, h, i, j, k, l, ports]) } else { Ends::V4([h, l, ports]) }
    }

    /// True: the segment of a handshake that ends it, not the one that begins it.
    #[inline(always)]
    pub const fn is_last(&self) -> bool {
        self.acknowledged.is_some()
    }

    /// Where the payload begins, from the start of the frame, and how long it is.
    #[inline(always)]
    pub const fn payload(&self) -> (usize, usize) {
        (self.payload_at, self.payload as usize)
    }

    /// Sequence number of the first byte that it brings: that of the payload, or the one behind a SYN.
    #[inline(always)]
    pub const fn first_byte(&self) -> u32 {
        if self.is_last() { self.sequence } else { self.sequence.wrapping_add(1) }
    }

    /// The key of the listening socket that it is for, if one listens on its very address.
    #[inline(always)]
    pub const fn listener(&self, netns: u64) -> ListenerKey {
        ListenerKey::of(netns, self.destination, self.ports.1)
    }

    /// The connection by both ends.
    #[inline(always)]
    pub const fn flow(&self) -> FlowKey {
        FlowKey::of(self)
    }

    /// Where the TCP header begins, from the start of the frame.
    #[inline(always)]
    pub const fn transport_offset(&self) -> usize {
        self.transport
    }

    /// Where the IP header begins, from the start of the frame.
    #[inline(always)]
    pub const fn network_offset(&self) -> usize {
        self.network
    }
}

#[inline(always)]
fn v4_addresses<P: Packet>(packet: &P, at: usize) -> Result<(Address, Address), Unread> {
    let header = packet.part(at, ip::V4_HEADER).ok_or(Unread::Malformed)?;
    Ok((Address::v4(header.word(12)), Address::v4(header.word(16))))
}

#[inline(always)]
fn v6_addresses<P: Packet>(packet: &P, at: usize) -> Result<(Address, Address), Unread> {
    let header = packet.part(at, ip::V6_HEADER).ok_or(Unread::Malformed)?;
    let [a, b, c, d] = [header.word(8), header.word(12), header.word(16), header.word(20)];
    let [e, f, g, h] = [header.word(24), header.word(28), header.word(32), header.word(36)];
    Ok((Address::v6([a, b, c, d]), Address::v6([e, f, g, h])))
}
