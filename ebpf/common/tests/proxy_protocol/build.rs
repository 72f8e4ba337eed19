use std::net::SocketAddr;

use ebpf_common::proxy_protocol::{V2_SIGNATURE, crc32c::Crc32c};

pub const LOCAL: u8 = 0x20;
pub const PROXY: u8 = 0x21;

pub const CRC32C: u8 = 0x03;
pub const NOOP: u8 = 0x04;

/// A version 2 header with these bytes after its length.
pub fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("a block that the length field can say");
    [&V2_SIGNATURE[..], &[command, family], &length.to_be_bytes(), block].concat()
}

/// An address block.
pub fn addresses(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let mut block = Vec::new();
    for end in [source, destination] {
        match end {
            SocketAddr::V4(end) => block.extend(end.ip().octets()),
            SocketAddr::V6(end) => block.extend(end.ip().octets()),
        }
    }
    block.extend(source.port().to_be_bytes());
    block.extend(destination.port().to_be_bytes());
    block
}

/// A TLV.
pub fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("a value that the length field can say");
    [&[kind], &length.to_be_bytes()[..], value].concat()
}

/// A version 2 header whose block is `before`, a sound checksum, and `after`.
pub fn v2_with_checksum(command: u8, family: u8, before: &[u8], after: &[u8]) -> Vec<u8> {
    let mut header = v2(command, family, &[before, &tlv(CRC32C, &[0; 4]), after].concat());
    let mut crc = Crc32c::new();
    header.iter().for_each(|byte| crc.push(*byte));
    let at = V2_SIGNATURE.len() + 4 + before.len() + 3;
    header[at..at + 4].copy_from_slice(&crc.value().to_be_bytes());
    header
}
