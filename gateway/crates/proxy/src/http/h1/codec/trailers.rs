use bytes::BytesMut;
use http::{
    HeaderMap, HeaderName,
    header::{
        AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, COOKIE, DATE, EXPECT, EXPIRES, FORWARDED, HOST, IF_MATCH, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LOCATION, MAX_FORWARDS, PRAGMA, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, RANGE, RETRY_AFTER, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
        WARNING, WWW_AUTHENTICATE,
    },
};

use super::{
    BodyError,
    lines::{Fields, Lines, Step},
};

/// Bytes of a trailer section, its last line end included.
const MAX_BYTES: usize = 16 << 10;

/// Field lines of a trailer section.
const MAX_FIELDS: usize = 100;

/// Fields that frame, route, authenticate, control or describe what came before them (RFC 9110 §6.5.1): read late,
/// they would be believed by some and not by others.
const FORBIDDEN: [HeaderName; 34] = [
    AGE,
    AUTHORIZATION,
    CACHE_CONTROL,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    DATE,
    EXPECT,
    EXPIRES,
    FORWARDED,
    HOST,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    LOCATION,
    MAX_FORWARDS,
    PRAGMA,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    RANGE,
    RETRY_AFTER,
    SET_COOKIE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VARY,
    WARNING,
    WWW_AUTHENTICATE,
];

/// Whether a trailer field of this name passes.
pub(super) fn may_trail(name: &HeaderName) -> bool {
    let text = name.as_str();
    !FORBIDDEN.contains(name)
        && !text.starts_with("x-forwarded-")
        && !matches!(text, "keep-alive" | "proxy-connection" | "http2-settings" | "x-real-ip")
}

/// Reads a trailer section.
#[derive(Debug, Default)]
pub(super) struct TrailerSection {
    at: usize,
    lines: Lines,
    fields: Fields,
}

impl TrailerSection {
    /// The fields that pass, once the section is complete and taken off the buffer.
    pub(super) fn parse(&mut self, buffer: &mut BytesMut) -> Result<Option<HeaderMap>, BodyError> {
        let window = &buffer[..buffer.len().min(MAX_BYTES)];
        loop {
            match self.lines.step(window, &mut self.at).map_err(BodyError::Malformed)? {
                Step::NeedMore if buffer.len() < MAX_BYTES => return Ok(None),
                Step::NeedMore => return Err(BodyError::TooLarge),
                Step::Line(line) => {
                    if self.fields.len() >= MAX_FIELDS || !self.fields.push(window, line) {
                        return Err(BodyError::TooLarge);
                    }
                }
                Step::End => break,
            }
        }
        let section = buffer.split_to(self.at).freeze();
        self.fields.retain(may_trail);
        self.fields.drain_into_map(&section).ok_or(BodyError::TooLarge).map(Some)
    }
}
