//! What becomes of a frame, read naively: headers are taken off the front one after the other, and a rule is a line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A segment that asks for a connection, or that may end a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ports: (u16, u16),
    pub sequence: u32,
    pub payload: u32,
    pub acknowledged: Option<u32>,
}

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Nothing to judge.
    Other,
    /// What was not read, by its reason's name.
    Unread(&'static str),
    Segment(Segment),
}

/// Reads a frame. `later`: segments that may end a handshake are wanted.
pub fn read(frame: &[u8], later: bool) -> Read {
    match ethernet(frame, later) {
        Ok(segment) => Read::Segment(segment),
        Err(None) => Read::Other,
        Err(Some(reason)) => Read::Unread(reason),
    }
}

type Outcome<T> = Result<T, Option<&'static str>>;

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Outcome<&'a [u8]> {
    if bytes.len() < length {
        return Err(Some("malformed"));
    }
    let (head, rest) = bytes.split_at(length);
    *bytes = rest;
    Ok(head)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn ethernet(mut frame: &[u8], later: bool) -> Outcome<Segment> {
    let header = take(&mut frame, 14)?;
    let to_group = header[0] % 2 == 1;
    let mut kind = number(&header[12..]);
    for tags in 0.. {
        if kind != 0x8100 && kind != 0x88a8 {
            break;
        }
        if tags == 2 {
            return Err(Some("too_deep"));
        }
        kind = number(&take(&mut frame, 4)?[2..]);
    }
    let (source, destination, length, mut rest) = match kind {
        0x0800 => v4(frame)?,
        0x86dd => v6(frame)?,
        _ => return Err(None),
    };
    let tcp = take(&mut rest, 20)?;
    let acknowledged = match tcp[13] & 0b1_0111 {
        0b0_0010 => None,
        0b1_0000 | 0b1_0001 if later => Some(number(&tcp[8..12])),
        _ => return Err(None),
    };
    let header = usize::from(tcp[12] / 16) * 4;
    if header < 20 || header > length {
        return Err(Some("malformed"));
    }
    if to_group || is_group(source) || is_group(destination) {
        return Err(None);
    }
    Ok(Segment {
        source,
        destination,
        ports: (number(&tcp[..2]) as u16, number(&tcp[2..4]) as u16),
        sequence: number(&tcp[4..8]),
        payload: (length - header) as u32,
        acknowledged,
    })
}

/// Addresses, bytes of TCP, and what follows the IP header.
fn v4(mut packet: &[u8]) -> Outcome<(IpAddr, IpAddr, usize, &[u8])> {
    let fixed = take(&mut packet, 20)?;
    let header = usize::from(fixed[0] % 16) * 4;
    if fixed[0] / 16 != 4 || header < 20 {
        return Err(Some("malformed"));
    }
    if fixed[9] != 6 {
        return Err(None);
    }
    if number(&fixed[6..8]) & 0x3fff != 0 {
        return Err(Some("fragment"));
    }
    let total = number(&fixed[2..4]) as usize;
    if total < header {
        return Err(Some("malformed"));
    }
    take(&mut packet, header - 20)?;
    let address = |at: usize| IpAddr::V4(Ipv4Addr::from_bits(number(&fixed[at..at + 4])));
    Ok((address(12), address(16), total - header, packet))
}

fn v6(mut packet: &[u8]) -> Outcome<(IpAddr, IpAddr, usize, &[u8])> {
    let fixed = take(&mut packet, 40)?;
    if fixed[0] / 16 != 6 {
        return Err(Some("malformed"));
    }
    let mut left = number(&fixed[4..6]) as i64;
    let mut next = fixed[6];
    // Behind an extension that is cut off stands nothing; what is asked for there is not to be had.
    for extensions in 0.. {
        match next {
            6 => break,
            44 => return Err(Some("fragment")),
            0 | 43 | 51 | 60 | 135 | 139 | 140 => {}
            _ => return Err(None),
        }
        if extensions == 6 {
            return Err(Some("too_deep"));
        }
        if packet.len() < 2 {
            return Err(Some("malformed"));
        }
        let length = usize::from(packet[1]);
        let length = if next == 51 { length * 4 + 8 } else { length * 8 + 8 };
        next = packet[0];
        left -= length as i64;
        packet = packet.get(length..).unwrap_or_default();
    }
    if left < 0 {
        return Err(Some("malformed"));
    }
    let address =
        |at: usize| IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(&fixed[at..at + 16]).expect("16 bytes")));
    Ok((address(8), address(24), left as usize, packet))
}

/// Nobody who could be answered: a group, a class that has no hosts, or no address at all.
fn is_group(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => matches!(address.octets()[0], 0 | 224..),
        IpAddr::V6(address) => address.is_multicast() || address.is_unspecified(),
    }
}
