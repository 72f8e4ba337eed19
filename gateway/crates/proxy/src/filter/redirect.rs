use http::{HeaderValue, StatusCode, request::Parts};
use ir::RedirectScheme;

use super::path::rewritten;
use crate::{
    error::ProxyError,
    policy::{Facts, X_FORWARDED_PROTO},
    route::{authority, without_port},
};

/// An answer that sends the client elsewhere.
#[derive(Debug)]
pub(crate) struct Redirected {
    /// 301, 302, 303, 307 or 308.
    pub(crate) status: StatusCode,
    /// An absolute URI.
    pub(crate) location: HeaderValue,
}

/// Where a redirect sends this request. The query is kept. Source: Gateway API `HTTPRequestRedirectFilter`.
pub(super) fn apply(
    redirect: &ir::Redirect,
    head: &Parts,
    facts: Facts<'_>,
) -> Result<Redirected, ProxyError> {
    let ir::Redirect { scheme, hostname, path, port, status } = redirect;
    let host = match hostname {
        Some(hostname) => hostname,
        None => host(head).ok_or(ProxyError::Malformed("a redirect needs the request's host"))?,
    };
    let came_by = if facts.tls { RedirectScheme::Https } else { RedirectScheme::Http };
    let asked_by = asked_by(head).unwrap_or(came_by);
    let port = port.unwrap_or_else(|| match scheme {
        Some(scheme) => well_known(*scheme),
        // In front of us something else has ended TLS: its port is not ours.
        None if asked_by != came_by => well_known(asked_by),
        None => facts.source.local.port(),
    });
    let scheme = scheme.unwrap_or(asked_by);
    let mut location = match scheme {
        RedirectScheme::Http => "http://".to_owned(),
        RedirectScheme::Https => "https://".to_owned(),
    };
    location.push_str(host);
    if port != well_known(scheme) {
        location.push(':');
        location.push_str(&port.to_string());
    }
    match path {
        Some(path) => location.push_str(&rewritten(path, &head.uri)),
        None => location.push_str(head.uri.path_and_query().map_or("/", |target| target.as_str())),
    }
    let location = HeaderValue::try_from(location)
        .map_err(|_| ProxyError::Malformed("its host or path fits no Location"))?;
    Ok(Redirected { status: StatusCode::from_u16(*status).unwrap_or(StatusCode::FOUND), location })
}

const fn well_known(scheme: RedirectScheme) -> u16 {
    match scheme {
        RedirectScheme::Http => 80,
        RedirectScheme::Https => 443,
    }
}

/// The scheme that the client has used, as the policies before the route have found it.
fn asked_by(head: &Parts) -> Option<RedirectScheme> {
    match head.headers.get(X_FORWARDED_PROTO)?.as_bytes() {
        b"http" => Some(RedirectScheme::Http),
        b"https" => Some(RedirectScheme::Https),
        _ => None,
    }
}

/// The request's host, as it was written, without port.
fn host(head: &Parts) -> Option<&str> {
    authority(head).map(without_port).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use ir::{PathRewrite, Redirect};

    use super::*;
    use crate::sources::Source;

    const SAME: Redirect = Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };

    /// Where `GET target` with this Host is sent on a listener of that port.
    fn location(
        redirect: &Redirect,
        listener: u16,
        tls: bool,
        host: &str,
        fields: &[(&str, &str)],
    ) -> String {
        let mut request = http::Request::builder().uri("/a/b?c=d").header("host", host);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let source = Source {
            peer: "192.0.2.1:1".parse().unwrap(),
            local: ([192, 0, 2, 2], listener).into(),
            proxied: None,
        };
        let answer = apply(redirect, &head, Facts { source: &source, tls });
        answer.map_or_else(|error| error.to_string(), |answer| answer.location.to_str().unwrap().to_owned())
    }

    /// The listeners and filters of the conformance test HTTPRouteRedirectPortAndScheme: without a scheme the
    /// listener's port, with one its well-known port, and no port that goes without saying.
    #[test]
    fn ports_follow_the_scheme_or_the_listener() {
        let (http, https) = (Some(RedirectScheme::Http), Some(RedirectScheme::Https));
        for (listener, tls, scheme, port, expected) in [
            (80, false, None, None, "http://a.test/a/b?c=d"),
            (80, false, None, Some(80), "http://a.test/a/b?c=d"),
            (80, false, None, Some(8080), "http://a.test:8080/a/b?c=d"),
            (80, false, https, None, "https://a.test/a/b?c=d"),
            (80, false, https, Some(443), "https://a.test/a/b?c=d"),
            (80, false, https, Some(8443), "https://a.test:8443/a/b?c=d"),
            (80, false, https, Some(80), "https://a.test:80/a/b?c=d"),
            (8080, false, None, None, "http://a.test:8080/a/b?c=d"),
            (8080, false, None, Some(80), "http://a.test/a/b?c=d"),
            (8080, false, https, None, "https://a.test/a/b?c=d"),
            (8080, false, http, None, "http://a.test/a/b?c=d"),
            (443, true, None, None, "https://a.test/a/b?c=d"),
            (443, true, None, Some(443), "https://a.test/a/b?c=d"),
            (443, true, None, Some(8443), "https://a.test:8443/a/b?c=d"),
            (443, true, http, None, "http://a.test/a/b?c=d"),
            (443, true, http, Some(80), "http://a.test/a/b?c=d"),
            (443, true, http, Some(8080), "http://a.test:8080/a/b?c=d"),
        ] {
            let redirect = Redirect { scheme, port, ..SAME };
            assert_eq!(
                location(&redirect, listener, tls, "a.test:1234", &[]),
                expected,
                "{listener} {redirect:?}"
            );
        }
    }

    #[test]
    fn host_and_path_are_replaced_apart() {
        let hostname = Some("b.test".into());
        let host = Redirect { hostname, ..SAME };
        assert_eq!(location(&host, 80, false, "a.test", &[]), "http://b.test/a/b?c=d");
        assert_eq!(location(&host, 80, false, "", &[]), "http://b.test/a/b?c=d");
        let path = |path| Redirect { path: Some(path), ..SAME };
        let full = path(PathRewrite::Full("/new".into()));
        assert_eq!(location(&full, 80, false, "A.Test", &[]), "http://A.Test/new?c=d");
        let prefix = path(PathRewrite::Prefix { matched: "/a".into(), replacement: "/new".into() });
        assert_eq!(location(&prefix, 80, false, "[::1]:80", &[]), "http://[::1]/new/b?c=d");
    }

    #[test]
    fn a_redirect_without_any_host_is_refused() {
        assert_eq!(
            location(&SAME, 80, false, "", &[]),
            "malformed request: a redirect needs the request's host"
        );
    }

    /// Behind something that ends TLS the client's scheme is not the connection's, and neither is its port.
    #[test]
    fn the_clients_scheme_is_kept() {
        let proto = |scheme| [("x-forwarded-proto", scheme)];
        assert_eq!(location(&SAME, 8080, false, "a.test", &proto("https")), "https://a.test/a/b?c=d");
        assert_eq!(location(&SAME, 8080, false, "a.test", &proto("http")), "http://a.test:8080/a/b?c=d");
        assert_eq!(location(&SAME, 8080, false, "a.test", &proto("wss")), "http://a.test:8080/a/b?c=d");
    }
}
