use http::{
    Method,
    header::{CONTENT_LENGTH, EXPECT, HOST},
    request::Parts,
};

use crate::{
    error::ProxyError,
    http::h1::codec::{HeadLimits, is_host, is_target},
};

/// Judges a request's header by what h2 leaves open, as strictly as HTTP/1's: h2 has refused fields of a connection,
/// `te` other than trailers, pseudo-header fields that are missing or repeated, and what is no URI (RFC 9113 §8.2.2,
/// §8.3.1); a fragment it has cut off.
pub(super) fn judge(head: &mut Parts) -> Result<(), ProxyError> {
    if head.headers.len() > HeadLimits::default().max_fields {
        return Err(ProxyError::Refused(http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }
    if head.uri.scheme_str().is_some_and(|scheme| !matches!(scheme, "http" | "https")) {
        return Err(ProxyError::Malformed("the scheme is neither http nor https"));
    }
    judge_host(head)?;
    if head.method != Method::CONNECT {
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        let is_asterisk = target == "*" && head.method == Method::OPTIONS;
        if !is_asterisk && !is_target(target) {
            return Err(ProxyError::Malformed("the path holds a byte that no path has"));
        }
    }
    if head.headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(ProxyError::Malformed("content-length is repeated"));
    }
    // Nothing waits for 100 (Continue) for ever (RFC 9110 §10.1.1), and hyper cannot send it.
    head.headers.remove(EXPECT);
    Ok(())
}

fn judge_host(head: &Parts) -> Result<(), ProxyError> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let host = hosts.next().map(|host| host.as_bytes());
    if hosts.next().is_some() {
        return Err(ProxyError::Malformed("host is repeated"));
    }
    let authority = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let name = match (authority, host) {
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
            return Err(ProxyError::Malformed("host is unlike :authority"));
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return Err(ProxyError::Malformed("neither :authority nor host is there")),
    };
    if is_host(name) { Ok(()) } else { Err(ProxyError::Malformed("the authority is not a host")) }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn judged(method: &str, uri: &str, fields: &[(&str, &str)]) -> Result<(), ProxyError> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        let judged = judge(&mut head);
        assert!(!head.headers.contains_key(EXPECT) || judged.is_err());
        judged
    }

    #[test]
    fn what_http_1_would_refuse_is_refused() {
        for (method, uri, fields) in [
            ("GET", "https://a.test/x?y", &[("host", "A.test"), ("expect", "100-continue")][..]),
            ("GET", "http://[::1]:80/", &[]),
            ("GET", "/", &[("host", "a.test")]),
            ("OPTIONS", "*", &[("host", "a.test")]),
            ("CONNECT", "a.test:443", &[]),
            ("PUT", "http://a/", &[("content-length", "1")]),
        ] {
            assert_eq!(judged(method, uri, fields), Ok(()), "{method} {uri}");
        }
        for (method, uri, fields) in [
            ("GET", "https://a.test/", &[("host", "b.test")][..]),
            ("GET", "https://a.test/", &[("host", "a.test"), ("host", "a.test")]),
            ("GET", "https://a.test/", &[("host", "a.test:443")]),
            ("GET", "https://u@a.test/", &[]),
            ("GET", "https://u:p@a.test/", &[]),
            ("GET", "https://a.test:/", &[]),
            ("GET", "/", &[]),
            ("GET", "/", &[("host", "a b")]),
            ("GET", "ftp://a.test/", &[]),
            ("GET", "*", &[("host", "a.test")]),
            ("GET", "/\u{e4}", &[("host", "a.test")]),
            ("PUT", "http://a/", &[("content-length", "1"), ("content-length", "1")]),
        ] {
            let refused = judged(method, uri, fields);
            assert!(matches!(refused, Err(ProxyError::Malformed(_))), "{method} {uri}: {refused:?}");
        }
        let many: Vec<_> = (0..101).map(|_| ("x", "1")).chain([("host", "a")]).collect();
        assert_eq!(
            judged("GET", "/", &many),
            Err(ProxyError::Refused(http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))
        );
    }
}
