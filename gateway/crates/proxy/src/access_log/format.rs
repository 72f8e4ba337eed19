use std::{
    fmt::{Display, Write},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ir::AccessLogFormat;

use super::{Names, Record, json, text};
use crate::{refusal::Refusal, sources::Source};

/// Writes the line of a request, with its line end.
pub(super) fn request(line: &mut String, format: AccessLogFormat, record: &Record, names: &Names<'_>) {
    match format {
        AccessLogFormat::Text => text::request(line, record, names),
        AccessLogFormat::Json => json::request(line, record, names),
    }
}

/// Writes the line of a refused connection, or of one that a dry run would have refused, with its line end. `verdict`:
/// which of both, and why.
pub(super) fn refused(
    line: &mut String,
    format: AccessLogFormat,
    (now, listener): (SystemTime, &str),
    source: &Source,
    verdict: (&'static str, Refusal),
) {
    match format {
        AccessLogFormat::Text => text::refused(line, now, listener, source, verdict),
        AccessLogFormat::Json => json::refused(line, now, listener, source, verdict),
    }
}

/// Appends what can be printed. A String takes everything.
pub(super) fn print(line: &mut String, what: impl Display) {
    let _ = write!(line, "{what}");
}

/// A sender's values are cut here, so that a line of the log stays a line's length.
const LONGEST_VALUE: usize = 256;

/// What the PROXY header says beside addresses: keys (`tlv_` and what [`ir::ProxyTlv`] has for the log) and values,
/// which are the sender's choice, cut to [`LONGEST_VALUE`] bytes.
pub(super) fn tlvs(names: &Names<'_>, mut each: impl FnMut(&str, &[u8])) {
    let Some(tlvs) = names.tlvs else { return };
    let mut key = String::new();
    for (what, value) in tlvs.iter() {
        key.clear();
        print(&mut key, format_args!("tlv_{}", what.log_key()));
        each(&key, value.get(..LONGEST_VALUE).unwrap_or(&value));
    }
}

/// `1.2` or `1.3`: rustls has no others.
pub(super) fn tls_version(version: rustls::ProtocolVersion) -> Option<&'static str> {
    match version {
        rustls::ProtocolVersion::TLSv1_2 => Some("1.2"),
        rustls::ProtocolVersion::TLSv1_3 => Some("1.3"),
        _ => None,
    }
}

/// As Envoy's `%PROTOCOL%` says it.
pub(super) const fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "HTTP/1.0",
        http::Version::HTTP_2 => "HTTP/2",
        http::Version::HTTP_3 => "HTTP/3",
        _ => "HTTP/1.1",
    }
}

/// Milliseconds to the microsecond: `3.214`.
pub(super) struct Millis(pub(super) Duration);

impl Display for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1_000, micros % 1_000)
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(super) struct Timestamp(pub(super) SystemTime);

impl Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, millis) = (since.as_secs(), since.subsec_millis());
        let (year, month, day) = civil(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

/// Year, month and day of a day since 1970, by eras of 400 years that start in March.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
            (1_795_523_506, "2026-11-24T12:31:46.000Z"),
        ] {
            assert_eq!(Timestamp(UNIX_EPOCH + Duration::from_secs(seconds)).to_string(), text);
        }
        assert!(Timestamp(UNIX_EPOCH + Duration::from_millis(7)).to_string().ends_with(":00.007Z"));
    }
}
