use http::{HeaderMap, HeaderName, HeaderValue};
use ir::TlvHeader;

use super::remove_fields;
use crate::sources::Tlvs;

/// Fills request headers from the connection's PROXY header. What a client has sent under these names is gone in any
/// case, also under a spelling with `_` for `-`, which CGI cannot tell apart. Gives how many stay away because the
/// value is none that a field can have.
pub(crate) fn apply(headers: &mut HeaderMap, wanted: &[TlvHeader], tlvs: Option<&Tlvs>) -> u64 {
    let mut dropped = 0;
    for TlvHeader { name, tlv } in wanted {
        remove(headers, name);
        let Some(value) = tlvs.and_then(|tlvs| tlvs.value(*tlv)) else { continue };
        match field_value(&value) {
            Some(value) => drop(headers.insert(name, value)),
            None => {
                tracing::debug!(%name, %tlv, "a TLV of a PROXY header is no field value");
                dropped += 1;
            }
        }
    }
    dropped
}

fn remove(headers: &mut HeaderMap, name: &HeaderName) {
    headers.remove(name);
    if name.as_str().contains(['-', '_']) {
        let dash = |byte: u8| if byte == b'_' { b'-' } else { byte };
        remove_fields(headers, |other| {
            let (a, b) = (other.as_str(), name.as_str());
            a.len() == b.len() && a.bytes().map(dash).eq(b.bytes().map(dash))
        });
    }
}

/// RFC 9110 §5.5, in UTF-8, and not empty: no controls, and no blanks at its ends, which no reader would keep.
fn field_value(value: &[u8]) -> Option<HeaderValue> {
    let text = std::str::from_utf8(value).ok()?;
    let blank = |end: Option<char>| end.is_none_or(char::is_whitespace);
    if text.chars().any(char::is_control) || blank(text.chars().next()) || blank(text.chars().next_back()) {
        return None;
    }
    HeaderValue::from_bytes(value).ok()
}

#[cfg(test)]
mod tests {
    use ir::ProxyTlv;

    use super::*;

    fn wanted() -> [TlvHeader; 2] {
        [("x-client-cn", ProxyTlv::SslCommonName), ("x-alpn", ProxyTlv::Alpn)]
            .map(|(name, tlv)| TlvHeader { name: HeaderName::from_static(name), tlv })
    }

    /// A verified common name, and nothing else.
    fn named(name: &[u8]) -> Tlvs {
        let lengths = [8 + name.len(), name.len()].map(|length| (length as u16).to_be_bytes());
        let ssl = [b"\x20", &lengths[0][..], b"\x07\0\0\0\0\x22", &lengths[1], name].concat();
        let length = (12 + ssl.len()) as u16;
        let header = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length.to_be_bytes()[..], &[7; 12], &ssl].concat();
        Tlvs::of_header(&header).expect("well formed").expect("a name")
    }

    fn spoofed() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for name in ["x-client-cn", "x-client_cn", "x_client_cn", "x-alpn", "x-other", "xxclient-cn"] {
            headers.append(name, HeaderValue::from_static("spoofed"));
            headers.append(name, HeaderValue::from_static("twice"));
        }
        headers
    }

    #[test]
    fn a_clients_own_field_is_removed_whether_there_is_a_tlv_or_not() {
        let mut headers = spoofed();
        assert_eq!(apply(&mut headers, &wanted(), None), 0);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-other", "xxclient-cn"]);

        let mut headers = spoofed();
        assert_eq!(apply(&mut headers, &wanted(), Some(&named("Jörg, CN=a".as_bytes()))), 0);
        let values: Vec<&[u8]> = headers.get_all("x-client-cn").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, ["Jörg, CN=a".as_bytes()]);
        assert!(!headers.contains_key("x_client_cn") && !headers.contains_key("x-alpn"));
    }

    #[test]
    fn what_no_field_can_have_is_dropped_and_counted() {
        for value in [&b""[..], b"a\r\nx-admin: 1", b"a\0", b"\x7f", b" a", b"a\t", b"a\xff", b"\xc2\x85"] {
            let mut headers = spoofed();
            assert_eq!(apply(&mut headers, &wanted(), Some(&named(value))), 1, "{}", value.escape_ascii());
            assert!(!headers.contains_key("x-client-cn"));
        }
    }
}
