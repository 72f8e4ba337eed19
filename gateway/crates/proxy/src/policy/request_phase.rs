use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, request::Parts};
use ir::ClientSettings;

use super::{client_ip, forwarded, hop_by_hop, path, request_id, underscores};
use crate::sources::Source;

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
