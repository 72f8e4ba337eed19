use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, StatusCode, request::Parts};
use ir::ClientSettings;

use super::{client_ip, forwarded, hop_by_hop, path, request_id, underscores};
use crate::{
    error::ProxyError,
    respond::{self, Reply},
    sources::Source,
};

/// What policies know of the connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// Who is calling.
    pub(crate) source: &'a Source,
    /// True: in TLS.
    pub(crate) tls: bool,
}

/// Why a request is answered before it is routed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EarlyResponse {
    /// 400: the path leaves the root, or has an escaped slash where those are refused.
    BadPath(&'static str),
    /// A header's name has an underscore: 400 on HTTP/1, a stream reset on HTTP/2.
    Underscore,
    /// 307 with this Location.
    Redirect(HeaderValue),
}

impl EarlyResponse {
    /// The answer, or the error that says it.
    pub(crate) fn reply(self) -> Result<Reply, ProxyError> {
        match self {
            Self::BadPath(reason) => Err(ProxyError::BadPath(reason)),
            Self::Underscore => Err(ProxyError::Underscore),
            Self::Redirect(location) => Ok(respond::redirect(StatusCode::TEMPORARY_REDIRECT, location)),
        }
    }
}

/// Makes a request fit to be routed, and finds the client's address. The order is part of the contract:
/// underscores, path, request id, client address, forwarding headers. Hop-by-hop fields are the driver's to
/// strip, before this: it needs them for framing and upgrades.
pub(crate) fn request_phase(
    head: &mut Parts,
    settings: &ClientSettings,
    facts: Facts<'_>,
) -> Result<IpAddr, EarlyResponse> {
    // Named, so that a new setting does not compile until it is spent or put here.
    let ClientSettings {
        connection: _,
        tcp_keepalive: _,
        proxy_protocol: _,
        client_ip,
        timeouts: _,
        headers,
        path,
        http2: _,
    } = settings;
    underscores::apply(&mut head.headers, headers.underscores)?;
    path::normalize(&mut head.uri, path)?;
    request_id::apply(&mut head.headers, headers.request_id);
    let client = client_ip::detect(&head.headers, client_ip, facts.source);
    forwarded::apply(&mut head.headers, client_ip, client, facts);
    Ok(client.address)
}

/// Makes a backend's response fit for the client.
pub(crate) fn response_phase(headers: &mut HeaderMap) {
    hop_by_hop::strip(headers);
}

#[cfg(test)]
mod tests {
    use http::Request;
    use ir::Underscores;

    use super::*;

    fn run(
        target: &str,
        fields: &[(&str, &str)],
        settings: &ClientSettings,
    ) -> Result<(IpAddr, Parts), EarlyResponse> {
        let mut request = Request::builder().uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut head = request.body(()).unwrap().into_parts().0;
        let source = Source {
            peer: "192.0.2.1:1".parse().unwrap(),
            local: "192.0.2.2:80".parse().unwrap(),
            proxied: None,
        };
        request_phase(&mut head, settings, Facts { source: &source, tls: true }).map(|client| (client, head))
    }

    #[test]
    fn a_plain_request_gets_what_envoy_gateway_adds_and_nothing_else() {
        let fields = [("host", "a.test"), ("accept", "*/*")];
        let (client, head) = run("/a?b=c", &fields, &ClientSettings::default()).unwrap();
        assert_eq!(client, IpAddr::from([192, 0, 2, 1]));
        assert_eq!(head.uri, "/a?b=c");
        let mut names: Vec<&str> = head.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "accept",
                "host",
                "x-envoy-external-address",
                "x-forwarded-for",
                "x-forwarded-proto",
                "x-request-id",
            ]
        );
    }

    #[test]
    fn header_names_are_judged_before_the_path() {
        let mut settings = ClientSettings::default();
        let both =
            |settings: &ClientSettings| run("/../a", &[("a_b", "1")], settings).map(|_| ()).unwrap_err();
        assert_eq!(both(&settings), EarlyResponse::Underscore);
        settings.headers.underscores = Underscores::DropHeader;
        assert!(matches!(both(&settings), EarlyResponse::BadPath(_)));
    }

    /// A name with an underscore that is dropped cannot come back as one that is believed.
    #[test]
    fn dropped_names_are_gone_for_good() {
        let mut settings = ClientSettings::default();
        settings.headers.underscores = Underscores::DropHeader;
        let (_, head) = run("/", &[("x_forwarded_for", "1.1.1.1")], &settings).unwrap();
        assert_eq!(head.headers["x-forwarded-for"], "192.0.2.1");
        assert!(!head.headers.contains_key("x_forwarded_for"));
    }

    #[test]
    fn responses_lose_what_is_about_one_connection() {
        let mut headers = HeaderMap::new();
        headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
        headers.insert("server", HeaderValue::from_static("theirs"));
        response_phase(&mut headers);
        assert_eq!(headers.keys().map(http::HeaderName::as_str).collect::<Vec<_>>(), ["server"]);
    }
}
