use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use ir::{ClientIpDetection, TrustedForwarders};

use crate::sources::Source;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who the client is, and whether the peer may speak for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client {
    /// The client's address.
    pub(super) address: IpAddr,
    /// True: the peer's forwarding headers are covered by `clientIPDetection` and believed.
    pub(super) vouched: bool,
}

/// `clientIPDetection`, on X-Forwarded-For as received. The peer is the PROXY header's source, if there was
/// one: Envoy Gateway's order is PROXY protocol first, then X-Forwarded-For.
pub(super) fn detect(headers: &HeaderMap, detection: &ClientIpDetection, source: &Source) -> Client {
    let peer = source.client().ip().to_canonical();
    let direct = Client { address: peer, vouched: false };
    match detection {
        ClientIpDetection::Direct => direct,
        ClientIpDetection::XForwardedFor { trusted: TrustedForwarders::Hops(hops), append: _ } => {
            // 0 and 1 are the same (Envoy Gateway translates N to N - 1).
            let place = hops.saturating_sub(1) as usize;
            let address = entries(headers).nth(place).and_then(parse);
            address.map_or(direct, |address| Client { address, vouched: true })
        }
        ClientIpDetection::XForwardedFor { trusted: TrustedForwarders::Networks(networks), append: _ } => {
            if !covers(networks, peer) {
                return direct;
            }
            Client { address: first_outside(headers, networks).unwrap_or(peer), vouched: true }
        }
    }
}

/// From the right, the first address that is in no network of the list; all inside: the leftmost. `None`:
/// nothing there, or on the way an entry that is no address, left of which nothing can be believed.
fn first_outside(headers: &HeaderMap, networks: &[IpNet]) -> Option<IpAddr> {
    let mut leftmost = None;
    for entry in entries(headers) {
        let address = parse(entry)?;
        if !covers(networks, address) {
            return Some(address);
        }
        leftmost = Some(address);
    }
    leftmost
}

/// The entries of X-Forwarded-For over all its lines, from the right.
fn entries(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

/// A bare address, as Envoy wants it: no port, no brackets.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let address: IpAddr = std::str::from_utf8(entry).ok()?.parse().ok()?;
    Some(address.to_canonical())
}

fn covers(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::sources::Proxied;

    const PEER: &str = "10.9.9.9";

    fn source(peer: &str) -> Source {
        let local = "127.0.0.1:80".parse().unwrap();
        Source { peer: format!("{peer}:1").parse().unwrap(), local, proxied: None }
    }

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
        }
        headers
    }

    fn check(trusted: TrustedForwarders, cases: &[(&[&'static str], &str, bool)]) {
        let detection = ClientIpDetection::XForwardedFor { trusted, append: true };
        for (lines, address, vouched) in cases {
            let client = detect(&headers(lines), &detection, &source(PEER));
            let expected = Client { address: address.parse().unwrap(), vouched: *vouched };
            assert_eq!(client, expected, "{detection:?} {lines:?}");
        }
    }

    #[test]
    fn direct_believes_nobody() {
        let client = detect(&headers(&["1.1.1.1"]), &ClientIpDetection::Direct, &source(PEER));
        assert_eq!(client, Client { address: PEER.parse().unwrap(), vouched: false });
    }

    #[test]
    fn a_proxy_header_comes_first() {
        let mut source = source(PEER);
        let address = |text: &str| text.parse().unwrap();
        source.proxied = Some(Proxied { source: address("5.5.5.5:5"), destination: address("6.6.6.6:6") });
        let client = detect(&HeaderMap::new(), &ClientIpDetection::Direct, &source);
        assert_eq!(client.address, address("5.5.5.5:5").ip());
    }

    /// Envoy Gateway: `xForwardedFor.numTrustedHops`.
    #[test]
    fn hops_count_from_the_right_over_all_lines() {
        let hops = TrustedForwarders::Hops;
        for same in [0, 1] {
            check(
                hops(same),
                &[
                    (&["1.1.1.1, 2.2.2.2,3.3.3.3"], "3.3.3.3", true),
                    (&["1.1.1.1"], "1.1.1.1", true),
                    (&[], PEER, false),
                    (&["nonsense"], PEER, false),
                    (&["1.1.1.1:80"], PEER, false),
                ],
            );
        }
        check(
            hops(2),
            &[
                (&["1.1.1.1, 2.2.2.2,3.3.3.3"], "2.2.2.2", true),
                (&["1.1.1.1,2.2.2.2", "3.3.3.3"], "2.2.2.2", true),
                (&["1.1.1.1"], PEER, false),
                (&["2001:db8::1, ::ffff:3.3.3.3"], "2001:db8::1", true),
            ],
        );
    }

    /// Envoy Gateway: `xForwardedFor.trustedCIDRs`; the first case is its own e2e test's.
    #[test]
    fn networks_are_skipped_from_the_right() {
        let networks = TrustedForwarders::Networks(vec!["10.0.0.0/8".parse().unwrap()]);
        check(
            networks,
            &[
                (&["192.168.2.1,192.168.1.1,10.0.1.12"], "192.168.1.1", true),
                (&["192.168.2.1,192.168.1.1"], "192.168.1.1", true),
                (&["10.0.0.1,10.0.0.2"], "10.0.0.1", true),
                (&["192.168.1.1,::ffff:10.0.1.12"], "192.168.1.1", true),
                (&["192.168.2.1,what,10.0.1.12"], PEER, true),
                (&[], PEER, true),
            ],
        );
        let others = TrustedForwarders::Networks(vec!["172.16.0.0/12".parse().unwrap()]);
        check(others, &[(&["192.168.2.1,172.16.0.1"], PEER, false)]);
    }
}
