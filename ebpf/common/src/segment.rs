use crate::{
    Packet, Unread,
    frame::{self, Network},
    ip::{self, Carried},
};

/// A TCP segment that opens a connection, with what an answer needs. Addresses and ports are as in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// True: IPv6.
    pub(crate) v6: bool,
    /// Where the IP header begins, from the start of the frame.
    pub(crate) network: usize,
    /// Sender, IPv4 in IPv6's form (RFC 4291 §2.5.5.2).
    pub(crate) source: [u8; 16],
    /// Receiver, likewise.
    pub(crate) destination: [u8; 16],
    /// Sender's port.
    pub(crate) source_port: [u8; 2],
    /// Receiver's port.
    pub(crate) destination_port: [u8; 2],
    /// Sequence number of the SYN.
    pub(crate) sequence: u32,
    /// Bytes of payload that came along (TCP Fast Open).
    pub(crate) payload: u32,
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

impl Opening {
    /// Reads a frame. `Err(None)`: not a segment that opens a connection, which nothing is wrong with.
    #[inline(always)]
    pub fn read<P: Packet + ?Sized>(packet: &P) -> Result<Self, Option<Unread>> {
        let (network, at) = frame::network(packet)?;
        let carried = match network {
            Network::V4 => ip::tcp_in_v4(packet, at)?,
            Network::V6 => ip::tcp_in_v6(packet, at)?,
        };
        let [offset, flags] = packet.read::<2>(carried.at + 12).ok_or(Unread::Malformed)?;
        // Others find no listening socket to answer them, or are dropped there (RFC 9293 §3.10.7.2).
        if flags & (SYN | ACK | RST | FIN) != SYN {
            return Err(None);
        }
        let header = usize::from(offset >> 4) * 4;
        if header < 20 || carried.length < header {
            return Err(Some(Unread::Malformed));
        }
        Self::addressed(packet, network, at, carried, carried.length - header)
    }

    #[inline(always)]
    fn addressed<P: Packet + ?Sized>(
        packet: &P,
        network: Network,
        at: usize,
        carried: Carried,
        payload: usize,
    ) -> Result<Self, Option<Unread>> {
        let (source, destination) = match network {
            Network::V4 => {
                let [source, destination] = [12, 16].map(|place| packet.read::<4>(at + place));
                (mapped(source.ok_or(Unread::Malformed)?), mapped(destination.ok_or(Unread::Malformed)?))
            }
            Network::V6 => {
                let [source, destination] = [8, 24].map(|place| packet.read::<16>(at + place));
                (source.ok_or(Unread::Malformed)?, destination.ok_or(Unread::Malformed)?)
            }
        };
        // No connection is made of those, so none is refused: a reset must not be sent to or from a group
        // (RFC 1122 §4.2.3.10). The frame's own destination is a group for broadcasts.
        let [group] = packet.read::<1>(0).ok_or(Unread::Malformed)?;
        if group & 1 != 0 || !is_unicast(&source) || !is_unicast(&destination) {
            return Err(None);
        }
        let [a, b, c, d, e, f, g, h] = packet.read::<8>(carried.at).ok_or(Unread::Malformed)?;
        Ok(Self {
            v6: network == Network::V6,
            network: at,
            source,
            destination,
            source_port: [a, b],
            destination_port: [c, d],
            sequence: u32::from_be_bytes([e, f, g, h]),
            payload: payload as u32,
        })
    }

    /// Where the IP header begins, from the start of the frame.
    #[inline(always)]
    pub const fn network_offset(&self) -> usize {
        self.network
    }

    /// Receiver's address, IPv4 in IPv6's form.
    pub const fn destination(&self) -> [u8; 16] {
        self.destination
    }

    /// Receiver's port, in network order.
    pub const fn destination_port(&self) -> [u8; 2] {
        self.destination_port
    }
}

#[inline(always)]
const fn mapped(address: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = address;
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}

/// False for groups, broadcast and IPv4's "this network"; IPv6's unspecified address is no sender either.
#[inline(always)]
fn is_unicast(address: &[u8; 16]) -> bool {
    if is_mapped(address) {
        address[12] != 0 && address[12] < 224
    } else {
        address[0] != 0xff && !is_zero(address)
    }
}

/// True for IPv4 in IPv6's form.
#[inline(always)]
pub(crate) fn is_mapped(address: &[u8; 16]) -> bool {
    let value = u128::from_be_bytes(*address);
    value >> 32 == 0xffff
}

#[inline(always)]
fn is_zero(address: &[u8; 16]) -> bool {
    u128::from_be_bytes(*address) == 0
}
