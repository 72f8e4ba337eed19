use std::{fmt::Write, net::IpAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};
use ir::ClientIpDetection;

use super::{
    client_ip::{Client, X_FORWARDED_FOR},
    remove_fields,
    request_phase::Facts,
};

/// The scheme that the client has used, once the policies have run.
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_ENVOY_EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static("x-envoy-external-address");
const ENVOY: &str = "x-envoy-";

/// Makes the forwarding headers tell the truth, as far as it is known:
/// - what steers Envoy behind us (`x-envoy-*`: retries, timeouts, internal origin) and client certificates
///   are never believed (Envoy: internal headers; Envoy Gateway: `xForwardedClientCert` is `Sanitize`);
/// - X-Forwarded-Proto is the connection's, unless the peer may speak for the client;
/// - so are `Forwarded` and X-Real-IP gone, since a backend may believe them more than X-Forwarded-For;
/// - X-Forwarded-For has the peer's address appended, unless that is turned off;
/// - with direct detection, x-envoy-external-address names the client (Envoy: `use_remote_address`).
pub(super) fn apply(
    headers: &mut HeaderMap,
    detection: &ClientIpDetection,
    client: Client,
    facts: Facts<'_>,
) {
    strip_envoy(headers);
    headers.remove(X_FORWARDED_CLIENT_CERT);
    if !client.vouched {
        headers.remove(FORWARDED);
        headers.remove(X_REAL_IP);
    }
    if !client.vouched || !headers.contains_key(X_FORWARDED_PROTO) {
        let scheme = if facts.tls { "https" } else { "http" };
        headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
    let peer = facts.source.client().ip().to_canonical();
    match detection {
        ClientIpDetection::Direct => {
            let address = value(peer);
            append(headers, address.clone());
            headers.insert(X_ENVOY_EXTERNAL_ADDRESS, address);
        }
        ClientIpDetection::XForwardedFor { trusted: _, append: true } => append(headers, value(peer)),
        ClientIpDetection::XForwardedFor { trusted: _, append: false } => {}
    }
}

fn strip_envoy(headers: &mut HeaderMap) {
    remove_fields(headers, |name| name.as_str().starts_with(ENVOY));
}

/// Appends to X-Forwarded-For and makes it one line: some backends read only the first, some only the last.
fn append(headers: &mut HeaderMap, address: HeaderValue) {
    if !headers.contains_key(X_FORWARDED_FOR) {
        headers.insert(X_FORWARDED_FOR, address);
        return;
    }
    let mut joined = Vec::new();
    for line in headers.get_all(X_FORWARDED_FOR).iter().filter(|line| !line.is_empty()) {
        joined.extend_from_slice(line.as_bytes());
        joined.push(b',');
    }
    joined.extend_from_slice(address.as_bytes());
    // Values joined by commas are a value.
    headers.insert(X_FORWARDED_FOR, HeaderValue::from_bytes(&joined).unwrap_or(address));
}

fn value(address: IpAddr) -> HeaderValue {
    let mut text = bytes::BytesMut::with_capacity(40);
    // Writing into a buffer that grows does not fail.
    let _ = write!(text, "{address}");
    HeaderValue::from_maybe_shared(text.freeze()).expect("an address has only visible characters")
}

#[cfg(test)]
mod tests {
    use ir::TrustedForwarders;

    use super::*;
    use crate::{policy::client_ip, sources::Source};

    /// What is left of a request from 10.0.0.1 with these headers.
    fn forward(detection: &ClientIpDetection, tls: bool, sent: &[(&str, &'static str)]) -> Vec<String> {
        let source = Source {
            peer: "10.0.0.1:1".parse().unwrap(),
            local: "127.0.0.1:80".parse().unwrap(),
            proxied: None,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value));
        }
        let client = client_ip::detect(&headers, detection, &source);
        apply(&mut headers, detection, client, Facts { source: &source, tls });
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    fn networks(network: &str, append: bool) -> ClientIpDetection {
        let trusted = TrustedForwarders::Networks(vec![network.parse().unwrap()]);
        ClientIpDetection::XForwardedFor { trusted, append }
    }

    const CLAIMS: [(&str, &str); 9] = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "2.2.2.2, 3.3.3.3"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=1.1.1.1"),
        ("x-real-ip", "1.1.1.1"),
        ("x-envoy-external-address", "1.1.1.1"),
        ("x-envoy-retry-on", "5xx"),
        ("x-envoy-internal", "true"),
        ("x-forwarded-client-cert", "By=me"),
    ];

    /// Envoy Gateway without `clientIPDetection`: `use_remote_address` is on.
    #[test]
    fn direct_tells_what_the_connection_tells() {
        let direct = ClientIpDetection::Direct;
        assert_eq!(
            forward(&direct, false, &CLAIMS),
            [
                "x-envoy-external-address: 10.0.0.1",
                "x-forwarded-for: 1.1.1.1,2.2.2.2, 3.3.3.3,10.0.0.1",
                "x-forwarded-proto: http",
            ]
        );
        assert_eq!(
            forward(&direct, true, &[]),
            ["x-envoy-external-address: 10.0.0.1", "x-forwarded-for: 10.0.0.1", "x-forwarded-proto: https",]
        );
    }

    /// Envoy Gateway with `xForwardedFor`: `use_remote_address` is off, a trusted peer speaks for its client.
    #[test]
    fn a_trusted_peer_is_believed() {
        assert_eq!(
            forward(&networks("10.0.0.0/8", true), false, &CLAIMS),
            [
                "forwarded: for=1.1.1.1",
                "x-forwarded-for: 1.1.1.1,2.2.2.2, 3.3.3.3,10.0.0.1",
                "x-forwarded-proto: https",
                "x-real-ip: 1.1.1.1",
            ]
        );
        assert_eq!(
            forward(&networks("10.0.0.0/8", true), false, &[]),
            ["x-forwarded-for: 10.0.0.1", "x-forwarded-proto: http",]
        );
    }

    #[test]
    fn a_peer_that_is_not_covered_is_not() {
        assert_eq!(
            forward(&networks("172.16.0.0/12", true), false, &CLAIMS),
            ["x-forwarded-for: 1.1.1.1,2.2.2.2, 3.3.3.3,10.0.0.1", "x-forwarded-proto: http",]
        );
    }

    /// Envoy Gateway: `disableXForwardedForAppend`.
    #[test]
    fn appending_can_be_turned_off() {
        assert_eq!(
            forward(&networks("10.0.0.0/8", false), false, &[("x-forwarded-for", "1.1.1.1, 2.2.2.2")]),
            ["x-forwarded-for: 1.1.1.1, 2.2.2.2", "x-forwarded-proto: http",]
        );
    }
}
