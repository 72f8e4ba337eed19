use http::Version;

use super::bytes::{token_length, trim};

/// Why fields are refused, alike in requests and responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed(&'static str),
    UnknownTransferCoding,
}

/// What the fields of a head say about the message and its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// Content-Length, in bytes.
    pub(super) content_length: Option<u64>,
    /// Transfer-Encoding is there, and is chunked.
    pub(super) chunked: bool,
    /// Connection says `close`.
    pub(super) close: bool,
    /// Connection says `keep-alive`.
    pub(super) keep_alive: bool,
    /// Connection says `upgrade`.
    pub(super) upgrade_option: bool,
    /// There is an Upgrade field, not empty.
    pub(super) upgrade_field: bool,
}

impl Facts {
    /// Takes note of one field of a head of that version.
    pub(super) fn observe(&mut self, name: &[u8], value: &[u8], version: Version) -> Result<(), Fault> {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match name.len() {
            7 if is(b"upgrade") => self.upgrade_field |= !value.is_empty(),
            10 if is(b"connection") => self.observe_connection(value)?,
            14 if is(b"content-length") => {
                if self.content_length.is_some() {
                    return Err(Fault::Malformed("content-length is repeated"));
                }
                self.content_length = Some(content_length(value)?);
            }
            17 if is(b"transfer-encoding") => {
                if self.chunked {
                    return Err(Fault::Malformed("transfer-encoding is repeated"));
                }
                judge_transfer_encoding(value, version)?;
                self.chunked = true;
            }
            _ => return Ok(()),
        }
        if self.chunked && self.content_length.is_some() {
            return Err(Fault::Malformed("content-length and transfer-encoding contradict each other"));
        }
        Ok(())
    }

    /// Whether the connection persists after this message (RFC 9112 §9.3).
    pub(super) fn persists(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }

    fn observe_connection(&mut self, value: &[u8]) -> Result<(), Fault> {
        for option in value.split(|byte| *byte == b',') {
            let option = trim(option);
            if token_length(option) != option.len() {
                return Err(Fault::Malformed("an option of connection is not a token"));
            }
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade_option |= option.eq_ignore_ascii_case(b"upgrade");
        }
        Ok(())
    }
}

/// Digits only: no sign, no space, no list (RFC 9110 §8.6).
fn content_length(value: &[u8]) -> Result<u64, Fault> {
    let mut length = 0_u64;
    for digit in value {
        if !digit.is_ascii_digit() {
            return Err(Fault::Malformed("content-length is not a number"));
        }
        length = length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(digit - b'0')))
            .ok_or(Fault::Malformed("content-length is larger than 64 bits"))?;
    }
    if value.is_empty() { Err(Fault::Malformed("content-length is empty")) } else { Ok(length) }
}

/// Nothing but `chunked` passes. Of the rest, a list of other codings is one that we do not know; anything else, of
/// which parsers have made chunked or not, is malformed.
fn judge_transfer_encoding(value: &[u8], version: Version) -> Result<(), Fault> {
    if version != Version::HTTP_11 {
        return Err(Fault::Malformed("transfer-encoding stands in HTTP/1.0"));
    }
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut chunked = 0;
    for coding in value.split(|byte| *byte == b',') {
        let coding = trim(coding);
        if coding.is_empty() || token_length(coding) != coding.len() {
            return Err(Fault::Malformed("transfer-encoding is not a list of codings"));
        }
        chunked += u32::from(coding.eq_ignore_ascii_case(b"chunked"));
    }
    if chunked > 1 {
        return Err(Fault::Malformed("chunked is applied twice"));
    }
    Err(Fault::UnknownTransferCoding)
}
