use serde::Serialize;

use crate::PathRewrite;

/// An answer that sends the client elsewhere. What is absent is the request's own. Source: Gateway API
/// `HTTPRequestRedirectFilter`, GEP-726.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Redirect {
    /// The new scheme.
    pub scheme: Option<RedirectScheme>,
    /// The new host, without port.
    pub hostname: Option<Box<str>>,
    /// The new path.
    pub path: Option<PathRewrite>,
    /// The new port. `None`: the well-known one of `scheme`; the listener's where that is absent too.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// The scheme of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum RedirectScheme {
    /// `http`, whose port is 80.
    Http,
    /// `https`, whose port is 443.
    Https,
}
