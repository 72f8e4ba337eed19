use serde::Serialize;

/// What a backend is asked in the place of what the client has asked. Source: Gateway API `HTTPURLRewriteFilter`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UrlRewrite {
    /// The new Host, without port; `None`: it stays.
    pub hostname: Option<Box<str>>,
    /// The new path; `None`: it stays.
    pub path: Option<PathRewrite>,
}

/// A new path for a request or a redirect. Source: Gateway API `HTTPPathModifier`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum PathRewrite {
    /// In the place of the whole path. Starts with `/`; with a `?`, its query stands in the place of the request's.
    Full(Box<str>),
    /// In the place of the prefix that the rule matches.
    Prefix {
        /// What the rule matches: starts with `/`, without a trailing slash but for `/` itself.
        matched: Box<str>,
        /// What stands in its place: empty, or starts with `/`.
        replacement: Box<str>,
    },
}
