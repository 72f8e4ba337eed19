use http::{HeaderMap, HeaderName, HeaderValue};
use ir::RequestId;

use crate::random;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// `headers.requestID`. Every client counts as one at the edge.
pub(super) fn apply(headers: &mut HeaderMap, mode: RequestId) {
    let generate = match mode {
        RequestId::Generate => true,
        RequestId::PreserveOrGenerate => !headers.contains_key(X_REQUEST_ID),
        RequestId::Preserve | RequestId::Disable => false,
    };
    if generate {
        headers.insert(X_REQUEST_ID, uuid());
    }
}

/// A random UUID (RFC 9562 §5.4).
fn uuid() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = (u128::from(random::next()) << 64 | u128::from(random::next())).to_be_bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (place, byte) in bytes.into_iter().enumerate() {
        if [4, 6, 8, 10].contains(&place) {
            at += 1;
        }
        text[at] = DIGITS[usize::from(byte >> 4)];
        text[at + 1] = DIGITS[usize::from(byte & 0x0f)];
        at += 2;
    }
    HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Envoy Gateway: `headers.requestID`.
    #[test]
    fn kept_made_or_left_alone() {
        let outcome = |mode, sent: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(sent) = sent {
                headers.insert(X_REQUEST_ID, HeaderValue::from_static(sent));
            }
            apply(&mut headers, mode);
            match headers.get(X_REQUEST_ID) {
                None => "none",
                Some(id) if id == "sent" => "kept",
                Some(_) => "made",
            }
        };
        for (mode, with, without) in [
            (RequestId::Generate, "made", "made"),
            (RequestId::PreserveOrGenerate, "kept", "made"),
            (RequestId::Preserve, "kept", "none"),
            (RequestId::Disable, "kept", "none"),
        ] {
            assert_eq!((outcome(mode, Some("sent")), outcome(mode, None)), (with, without), "{mode:?}");
        }
    }

    #[test]
    fn ids_are_random_uuids_of_version_4() {
        let ids: std::collections::BTreeSet<String> =
            (0..1_000).map(|_| uuid().to_str().unwrap().to_owned()).collect();
        assert_eq!(ids.len(), 1_000);
        for id in ids {
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()), "{id}");
            assert_eq!(&id[14..15], "4", "{id}");
            assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
        }
    }
}
