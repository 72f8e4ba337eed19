//! What a version 2 header says beside addresses: its type-length-values, read from the whole header.

use super::{Malformed, V2_SIGNATURE};

/// `PP2_TYPE_ALPN` (§2.2.1): the protocol that the client and the sender agreed on.
pub const ALPN: u8 = 0x01;
/// `PP2_TYPE_AUTHORITY` (§2.2.2): the host name that the client asked for, in UTF-8.
pub const AUTHORITY: u8 = 0x02;
/// `PP2_TYPE_CRC32C` (§2.2.3): a checksum of the whole header, its own four bytes taken as zero.
pub const CRC32C: u8 = 0x03;
/// `PP2_TYPE_NOOP` (§2.2.4): padding.
pub const NOOP: u8 = 0x04;
/// `PP2_TYPE_UNIQUE_ID` (§2.2.5): up to 128 opaque bytes.
pub const UNIQUE_ID: u8 = 0x05;
/// `PP2_TYPE_SSL` (§2.2.6): the client's TLS, as [`Ssl`] reads it.
pub const SSL: u8 = 0x20;
/// `PP2_SUBTYPE_SSL_VERSION`, within [`SSL`].
pub const SSL_VERSION: u8 = 0x21;
/// `PP2_SUBTYPE_SSL_CN`, within [`SSL`].
pub const SSL_COMMON_NAME: u8 = 0x22;
/// `PP2_SUBTYPE_SSL_CIPHER`, within [`SSL`].
pub const SSL_CIPHER: u8 = 0x23;
/// `PP2_SUBTYPE_SSL_SIG_ALG`, within [`SSL`].
pub const SSL_SIGNATURE_ALGORITHM: u8 = 0x24;
/// `PP2_SUBTYPE_SSL_KEY_ALG`, within [`SSL`].
pub const SSL_KEY_ALGORITHM: u8 = 0x25;
/// `PP2_TYPE_NETNS` (§2.2.7): the name of the sender's network namespace.
pub const NETNS: u8 = 0x30;

/// The types that have one meaning for everybody. Two of one would leave the choice to the reader.
const ONCE: [u8; 5] = [ALPN, AUTHORITY, UNIQUE_ID, SSL, NETNS];
/// As [`ONCE`], of those within [`SSL`].
const ONCE_IN_SSL: [u8; 5] =
    [SSL_VERSION, SSL_COMMON_NAME, SSL_CIPHER, SSL_SIGNATURE_ALGORITHM, SSL_KEY_ALGORITHM];

/// Bytes of type and length before a value.
pub const TLV_HEAD: usize = 3;

/// A type-length-value, or one within another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// Its type.
    pub kind: u8,
    /// Up to 65,535 bytes, of any content.
    pub value: &'a [u8],
}

/// Reads TLVs one after the other. One that does not end within the block is an error, and the last item.
#[derive(Clone, Copy, Debug)]
pub struct TlvReader<'a>(&'a [u8]);

impl<'a> TlvReader<'a> {
    /// From bytes that hold TLVs and nothing else.
    pub const fn new(block: &'a [u8]) -> Self {
        Self(block)
    }

    /// Those of a whole header, of which a [`Parser`](super::Parser) has said that it is done. Version 1 has none;
    /// what LOCAL carries is to be ignored (§2.2).
    pub fn of_header(header: &'a [u8]) -> Self {
        Self(block(header).unwrap_or_default())
    }

    /// The same, once it is known that no two readers could take them differently.
    ///
    /// # Errors
    /// [`Malformed::Tlv`]: one that does not end where it should, within [`SSL`] too. [`Malformed::RepeatedTlv`]: a second
    /// one of a type that has one meaning for everybody.
    pub fn checked(self) -> Result<Self, Malformed> {
        let mut seen = Kinds::default();
        for tlv in self {
            let tlv = tlv?;
            seen.once(tlv.kind, &ONCE)?;
            if tlv.kind == SSL {
                let mut seen = Kinds::default();
                let mut details = Ssl::read(tlv.value).ok_or(Malformed::Tlv)?.details;
                details.try_for_each(|detail| seen.once(detail?.kind, &ONCE_IN_SSL))?;
            }
        }
        Ok(self)
    }
}

impl<'a> Iterator for TlvReader<'a> {
    type Item = Result<Tlv<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let tlv = self.0.split_first_chunk().and_then(|([kind, high, low], rest)| {
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))?;
            self.0 = rest;
            Some(Tlv { kind: *kind, value })
        });
        if tlv.is_none() {
            self.0 = &[];
        }
        Some(tlv.ok_or(Malformed::Tlv))
    }
}

/// A set of types.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kinds([u64; 4]);

impl Kinds {
    /// Adds one; true if it was not among them.
    pub fn add(&mut self, kind: u8) -> bool {
        let (place, bit) = (usize::from(kind >> 6), 1 << (kind & 63));
        let Some(word) = self.0.get_mut(place) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    fn once(&mut self, kind: u8, once: &[u8]) -> Result<(), Malformed> {
        if self.add(kind) || !once.contains(&kind) { Ok(()) } else { Err(Malformed::RepeatedTlv) }
    }
}

/// What follows the addresses of a version 2 header that is not LOCAL.
fn block(header: &[u8]) -> Option<&[u8]> {
    let rest = header.strip_prefix(&V2_SIGNATURE)?;
    let ([command, family, _, _], rest) = rest.split_first_chunk()?;
    let addresses = match (command & 0xf, family >> 4) {
        (0, _) => return None,
        (_, 1) => 12,
        (_, 2) => 36,
        (_, 3) => 216,
        _ => 0,
    };
    rest.get(addresses..)
}

/// The value of [`SSL`]: flags, the outcome of the verification, and TLVs of its own.
#[derive(Clone, Copy, Debug)]
pub struct Ssl<'a> {
    /// Bit 0: the client came in TLS. Bit 1: it showed a certificate on this connection. Bit 2: on this session.
    pub client: u8,
    /// 0: the client's certificate was verified. Anything else: it was not, or there was none.
    pub verify: u32,
    /// The TLVs within.
    pub details: TlvReader<'a>,
}

impl<'a> Ssl<'a> {
    /// `None`: too short.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let (client, rest) = value.split_first()?;
        let (verify, rest) = rest.split_first_chunk()?;
        Some(Self { client: *client, verify: u32::from_be_bytes(*verify), details: TlvReader(rest) })
    }

    /// True: the client showed a certificate, on this connection or when its session began, and it was verified.
    pub const fn is_verified(&self) -> bool {
        self.client & 0b110 != 0 && self.verify == 0
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const HEAD: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    fn kinds(header: &[u8]) -> Vec<Result<u8, Malformed>> {
        TlvReader::of_header(header).map(|tlv| tlv.map(|tlv| tlv.kind)).collect()
    }

    #[test]
    fn tlvs_follow_the_addresses_of_every_family() {
        let tlvs = b"\x01\0\x02h2\x04\0\0\xea\0\x01x";
        for (family, addresses) in [(0x00, 0), (0x11, 12), (0x12, 12), (0x21, 36), (0x31, 216)] {
            let length = (addresses + tlvs.len()) as u16;
            let mut header = [HEAD, &[0x21, family], &length.to_be_bytes()].concat();
            header.resize(header.len() + addresses, 7);
            header.extend_from_slice(tlvs);
            assert_eq!(kinds(&header), [Ok(ALPN), Ok(NOOP), Ok(0xea)], "{family:x}");
            header[12] = 0x20;
            assert_eq!(kinds(&header), [], "LOCAL says nothing");
        }
        assert_eq!(kinds(b"PROXY UNKNOWN \x01\0\x02h2\r\n"), []);
    }

    #[test]
    fn a_value_ends_within_its_block() {
        for cut in [b"\x01".as_slice(), b"\x01\0", b"\x01\0\x01", b"\x01\xff\xff1"] {
            let block = [b"\x04\0\0", cut].concat();
            let read: Vec<_> = TlvReader::new(&block).map(|tlv| tlv.map(|tlv| tlv.kind)).collect();
            assert_eq!(read, [Ok(NOOP), Err(Malformed::Tlv)]);
        }
    }

    #[test]
    fn a_certificate_is_verified_if_it_was_shown_and_found_good() {
        for (value, verified) in [
            (b"\x07\0\0\0\0".as_slice(), true),
            (b"\x05\0\0\0\0", true),
            (b"\x01\0\0\0\0", false),
            (b"\x07\0\0\0\x12", false),
        ] {
            assert_eq!(Ssl::read(value).map(|ssl| ssl.is_verified()), Some(verified));
        }
        assert!(Ssl::read(b"\x07\0\0\0").is_none());
    }
}
