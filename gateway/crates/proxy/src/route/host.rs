use std::borrow::Cow;

use http::{header::HOST, request::Parts};

/// What names the host: `:authority` or an absolute target, else the Host field.
pub(crate) fn authority(head: &Parts) -> Option<&str> {
    match head.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers.get(HOST)?.to_str().ok(),
    }
}

/// An authority as it is written, without its port.
pub(crate) fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        // The colons of `[::1]` are no port's.
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

/// The name in an authority or Host field: without port, lower case. A trailing dot stays, as in Envoy, and
/// an IPv6 address keeps its brackets.
pub(crate) fn host_name(authority: &str) -> Cow<'_, str> {
    let name = without_port(authority);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_goes_and_letters_fall() {
        for (authority, name) in [
            ("example.com", "example.com"),
            ("Example.COM:8080", "example.com"),
            ("example.com.", "example.com."),
            ("example.com:", "example.com"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_name(authority), name, "{authority}");
        }
    }
}
