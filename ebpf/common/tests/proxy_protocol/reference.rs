use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{Said, Verdict};

/// Reads a header the obvious way: whole, with slices and the standard library's parsers. `bytes` must go on
/// long enough after the header that "more" is never the answer.
pub fn read(bytes: &[u8]) -> Verdict {
    if bytes.starts_with(b"PROXY ") {
        v1(bytes).map_or(Verdict::Malformed, |(said, length)| Verdict::Header(said, length))
    } else if bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        v2(bytes).map_or(Verdict::Malformed, |(said, length)| Verdict::Header(said, length))
    } else {
        Verdict::NotProxy
    }
}

fn v1(bytes: &[u8]) -> Option<(Said, usize)> {
    let line = &bytes[..bytes.len().min(107)];
    let end = line.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &line[..end];
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return None;
    }
    let length = end + 2;
    if line == b"PROXY UNKNOWN" || line.starts_with(b"PROXY UNKNOWN ") {
        return Some((Said::Unknown, length));
    }
    let fields: Vec<&str> = str::from_utf8(line).ok()?.split(' ').collect();
    let [_, protocol, source, destination, source_port, destination_port] = fields[..] else { return None };
    let address = |text: &str| -> Option<IpAddr> {
        match protocol {
            "TCP4" => Some(text.parse::<Ipv4Addr>().ok()?.into()),
            "TCP6" => Some(text.parse::<Ipv6Addr>().ok()?.to_canonical()),
            _ => None,
        }
    };
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| port.to_string() == text);
    let source = SocketAddr::new(address(source)?, port(source_port)?);
    let destination = SocketAddr::new(address(destination)?, port(destination_port)?);
    Some((Said::Tcp(source, destination), length))
}

fn v2(bytes: &[u8]) -> Option<(Said, usize)> {
    let local = match bytes.get(12)? {
        0x20 => true,
        0x21 => false,
        _ => return None,
    };
    let family = *bytes.get(13)?;
    let rest = usize::from(u16::from_be_bytes([*bytes.get(14)?, *bytes.get(15)?]));
    let length = 16 + rest;
    if length > 4096 {
        return None;
    }
    let header = bytes.get(..length)?;
    if local {
        return Some((Said::Local, length));
    }
    let (said, addresses) = match family {
        0x00 => (Said::Unknown, 0),
        0x11 | 0x12 => (ends(family, header.get(16..28)?)?, 12),
        0x21 | 0x22 => (ends(family, header.get(16..52)?)?, 36),
        0x31 | 0x32 => header.get(16..232).map(|_| (Said::Unix, 216))?,
        _ => return None,
    };
    tlvs(header, 16 + addresses)?;
    Some((said, length))
}

fn ends(family: u8, block: &[u8]) -> Option<Said> {
    let (addresses, ports) = block.split_at(block.len() - 4);
    let (source, destination) = addresses.split_at(addresses.len() / 2);
    let address = |octets: &[u8]| -> Option<IpAddr> {
        match <[u8; 4]>::try_from(octets) {
            Ok(octets) => Some(Ipv4Addr::from(octets).into()),
            Err(_) => Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).to_canonical()),
        }
    };
    let source = SocketAddr::new(address(source)?, u16::from_be_bytes([ports[0], ports[1]]));
    let destination = SocketAddr::new(address(destination)?, u16::from_be_bytes([ports[2], ports[3]]));
    Some(if family & 0xf == 1 { Said::Tcp(source, destination) } else { Said::Udp(source, destination) })
}

fn tlvs(header: &[u8], mut at: usize) -> Option<()> {
    let mut checksum = None;
    while at < header.len() {
        let [kind, high, low] = *header.get(at..at + 3)? else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let value = header.get(at + 3..at + 3 + length)?;
        if kind == 3 && checksum.replace((at + 3, <[u8; 4]>::try_from(value).ok()?)).is_some() {
            return None;
        }
        at += 3 + length;
    }
    let Some((at, sent)) = checksum else { return Some(()) };
    let mut zeroed = header.to_vec();
    zeroed[at..at + 4].fill(0);
    (crc32c(&zeroed) == u32::from_be_bytes(sent)).then_some(())
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(*byte),
            |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 },
        )
    })
}
