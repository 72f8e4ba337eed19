use std::net::Ipv6Addr;

use super::bytes::name_length;

/// Whether `bytes` are `uri-host [ ":" port ]` (RFC 9110 §7.2) as this codec takes it: a name without
/// percent-encoding and not empty, an IPv4 address, or an IPv6 address in brackets; a port of 1 to 5 digits up to
/// 65535.
pub(crate) fn is_valid(bytes: &[u8]) -> bool {
    let port = if let [b'[', rest @ ..] = bytes {
        let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
        let address = str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse::<Ipv6Addr>().ok());
        if address.is_none() {
            return false;
        }
        &rest[end + 1..]
    } else {
        let end = name_length(bytes);
        if end == 0 {
            return false;
        }
        &bytes[end..]
    };
    match port {
        [] => true,
        [b':', digits @ ..] => is_port(digits),
        _ => false,
    }
}

fn is_port(digits: &[u8]) -> bool {
    let mut port = 0_u32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return false;
        }
        port = port.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
    }
    (1..=5).contains(&digits.len()) && port <= u32::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_with_a_port_or_without() {
        for host in [
            "a",
            "A.b-c_d.test",
            "a.",
            "a:0",
            "a:65535",
            "1.2.3.4",
            "1.2.3.4:80",
            "[::1]",
            "[::1]:443",
            "999.1",
            "[::ffff:1.2.3.4]",
            "a,b",
            "~",
        ] {
            assert!(is_valid(host.as_bytes()), "{host}");
            assert!(http::uri::Authority::try_from(host).is_ok(), "{host}");
        }
        for host in [
            "",
            ":80",
            "a:",
            "a:65536",
            "a:000080",
            "a:8a",
            "a:+1",
            "a b",
            "a/b",
            "a@b",
            "u:p@a",
            "a%41",
            "[::1",
            "::1",
            "[::1]80",
            "[]",
            "[1.2.3.4]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "a:1:2",
            "a?",
            "a#",
            "\u{e4}",
            "a\\",
            "[::1]:",
            "a[",
            "\"a\"",
        ] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }
}
