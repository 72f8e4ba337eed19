use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, Method};
use serde::{Serialize, Serializer};

use crate::{Filter, Hostname, Pattern, Retry, Upstream};

/// The rules under one hostname of a listener, in order of precedence: the first entry that matches a
/// request answers it. A request whose host falls under this virtual host is never tried against another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VirtualHost {
    /// `None`: any host.
    pub hostname: Option<Hostname>,
    /// Sorted by [`Precedence`](crate::Precedence), then by age of the route, its name, and place in the route.
    pub entries: Vec<RuleEntry>,
}

/// One match of one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleEntry {
    /// What a request must be like.
    pub matches: HttpMatch,
    /// Which of `rules[].matches` that is, from 0.
    pub place: usize,
    /// What is done with it.
    pub rule: Arc<HttpRule>,
}

/// All parts must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpMatch {
    /// The path, without query, after normalisation.
    pub path: PathMatch,
    /// The method; absent: any.
    #[serde(serialize_with = "display_option")]
    pub method: Option<Method>,
    /// Every one must hold.
    pub headers: Vec<HeaderMatch>,
    /// Every one must hold.
    pub query: Vec<QueryMatch>,
}

impl Default for HttpMatch {
    /// What a rule without matches means: every path.
    fn default() -> Self {
        Self { path: PathMatch::Prefix("/".into()), method: None, headers: Vec::new(), query: Vec::new() }
    }
}

/// A condition on the path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum PathMatch {
    /// The whole path, byte by byte.
    Exact(Box<str>),
    /// Whole path elements: `/a` matches `/a` and `/a/b`, not `/ab`. Without a trailing slash, but for `/`.
    Prefix(Box<str>),
    /// The whole path matches.
    Pattern(Pattern),
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Matcher {
    /// Byte by byte.
    Exact(Box<str>),
    /// The whole value matches.
    Pattern(Pattern),
}

impl Matcher {
    /// True if the value satisfies the condition.
    pub fn is_match(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(exact) => exact.as_bytes() == value,
            Self::Pattern(pattern) => pattern.is_match(value),
        }
    }
}

/// A condition on a request header; several lines of one name are joined with `,` first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeaderMatch {
    /// Compared without case.
    #[serde(serialize_with = "display")]
    pub name: HeaderName,
    /// The condition.
    pub value: Matcher,
}

/// A condition on a query parameter; the first of a repeated name counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct QueryMatch {
    /// Compared byte by byte after percent-decoding.
    pub name: Box<str>,
    /// The condition on the decoded value.
    pub value: Matcher,
}

/// What is done with a request: one rule of one route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpRule {
    /// Where it stands.
    pub id: RuleId,
    /// In the user's order.
    pub filters: Box<[Filter]>,
    /// What happens after the filters.
    pub action: Action,
    /// `timeouts` of the rule.
    pub timeouts: RouteTimeouts,
    /// `retry` of the rule; absent: another endpoint is tried where one cannot be connected to, and that is all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
}

/// Names a rule in logs, metrics and messages.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RuleId {
    /// `namespace/name` of the HTTPRoute.
    pub route: Arc<str>,
    /// Place in `spec.rules`, from 0.
    pub index: usize,
    /// `rules[].name`.
    pub name: Option<Box<str>>,
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}/{name}", self.route),
            None => write!(f, "{}/{}", self.route, self.index),
        }
    }
}

/// What happens to a request after the filters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Action {
    /// Goes to one of these by weight. Empty, or all weights zero: 500, as Gateway API says.
    Forward(Vec<BackendChoice>),
    /// Answered at once with this status and no backend (500 for a rule that could not be translated).
    Respond(u16),
}

/// One of a rule's backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BackendChoice {
    /// Share of the requests: weight over the sum of weights.
    pub weight: u32,
    /// What is done to those that go there, after the rule's filters, in the user's order; to their responses
    /// before the rule's.
    pub filters: Box<[Filter]>,
    /// Where they go.
    pub target: BackendTarget,
}

/// Where a share of the requests goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum BackendTarget {
    /// To an upstream; without endpoints: 503.
    Upstream(Arc<Upstream>),
    /// The reference could not be resolved: 500.
    Unresolved,
}

/// `timeouts` of a rule. `None`: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteTimeouts {
    /// From the end of the request's header to the end of the response's; 504. Envoy's default is 15 s, which
    /// `translate` fills in.
    pub request: Option<Duration>,
    /// One attempt at a backend; 504.
    pub backend_request: Option<Duration>,
}

fn display<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn display_option<T: fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}
