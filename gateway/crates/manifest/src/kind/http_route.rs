use std::borrow::Cow;

use ir::{Duration, Hostname, Retry};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    FieldError, GATEWAY_GROUP, GROUP, HttpFilter, KIND, Kind, NAMESPACE, ParentReference, SECTION_NAME,
    TOKEN, Unserved,
    http_filter::{check_filters, replaces_prefix},
};

/// Which requests go to which backends, and how they are changed on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRoute {
    /// The Gateways or listeners to attach to.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub parent_refs: Vec<ParentReference>,
    /// Whether the route attaches to default Gateways (experimental channel).
    #[schemars(extend("x-gateway-unserved" = "default Gateways are experimental in Gateway API"))]
    pub use_default_gateways: Option<Unserved>,
    /// Hosts to serve; none: those of the listener.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub hostnames: Vec<Hostname>,
    /// The rules; missing: one that matches every path.
    #[schemars(length(min = 1, max = 16))]
    pub rules: Option<Vec<HttpRouteRule>>,
}

impl HttpRoute {
    /// The rules, with the default for a route that has none.
    pub fn rules(&self) -> Cow<'_, [HttpRouteRule]> {
        match &self.rules {
            Some(rules) => Cow::Borrowed(rules),
            None => Cow::Owned(vec![HttpRouteRule::default()]),
        }
    }
}

/// Requests that match, and what is done with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRouteRule {
    /// Unique within the route.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECTION_NAME))]
    pub name: Option<String>,
    /// A request that satisfies one of them; none: every request.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub matches: Vec<HttpRouteMatch>,
    /// Changes to request and response, in this order.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub filters: Vec<HttpFilter>,
    /// Where requests go, by weight; none: 500.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub backend_refs: Vec<BackendRef>,
    /// How long a request may take.
    pub timeouts: Option<HttpRouteTimeouts>,
    /// When a request is sent to its backend again (experimental channel).
    pub retry: Option<Retry>,
    /// Sessions that stay with one backend (experimental channel).
    #[schemars(extend("x-gateway-unserved" = "session persistence is experimental in Gateway API"))]
    pub session_persistence: Option<Unserved>,
}

/// All parts must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRouteMatch {
    /// A condition on the path; by default the prefix `/`.
    pub path: Option<HttpPathMatch>,
    /// Conditions on headers.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub headers: Vec<HeaderMatch>,
    /// Conditions on query parameters.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub query_params: Vec<QueryParamMatch>,
    /// The method; by default any.
    pub method: Option<HttpMethod>,
}

/// A condition on the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpPathMatch {
    /// By default `PathPrefix`.
    #[serde(rename = "type")]
    pub match_type: Option<PathMatchType>,
    /// By default `/`.
    #[schemars(length(max = 1024))]
    pub value: Option<String>,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum PathMatchType {
    /// The whole path, byte by byte.
    Exact,
    /// Whole path elements from the start.
    #[default]
    PathPrefix,
    /// A regular expression (RE2 syntax) that matches the whole path.
    RegularExpression,
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum MatchType {
    /// Byte by byte.
    #[default]
    Exact,
    /// A regular expression (RE2 syntax) that matches the whole value.
    RegularExpression,
}

/// A condition on a header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderMatch {
    /// By default `Exact`.
    #[serde(rename = "type")]
    pub match_type: Option<MatchType>,
    /// Name of the header, compared without case; of a repeated name the first entry counts.
    #[schemars(length(min = 1, max = 256), regex(pattern = TOKEN))]
    pub name: String,
    /// What the value is compared with.
    #[schemars(length(min = 1, max = 4096))]
    pub value: String,
}

/// A condition on a query parameter.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QueryParamMatch {
    /// By default `Exact`.
    #[serde(rename = "type")]
    pub match_type: Option<MatchType>,
    /// Name of the parameter; of a repeated name the first entry counts.
    #[schemars(length(min = 1, max = 256), regex(pattern = TOKEN))]
    pub name: String,
    /// What the value is compared with.
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
}

/// A method of RFC 9110 §9 or RFC 5789.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// CONNECT.
    Connect,
    /// OPTIONS.
    Options,
    /// TRACE.
    Trace,
    /// PATCH.
    Patch,
}

/// A backend and its share.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendRef {
    /// Group; by default the core group.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: Option<String>,
    /// `Service` (the default), or `Backend` of group `gateway.envoyproxy.io`.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: Option<String>,
    /// Name of the backend.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace; by default the route's. Another one needs a ReferenceGrant.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE))]
    pub namespace: Option<String>,
    /// The Service's port; required for a Service.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Share: weight over the sum of weights. By default 1; 0 means none.
    #[schemars(range(max = 1_000_000))]
    pub weight: Option<u32>,
    /// Changes to requests that go to this backend, after the rule's, and to their responses, before the rule's.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub filters: Vec<HttpFilter>,
}

impl BackendRef {
    /// The group, with its default.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or_default()
    }

    /// The kind, with its default.
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("Service")
    }

    pub(super) fn check_port(&self, path: &str, errors: &mut Vec<FieldError>) {
        if self.group().is_empty() && self.kind() == "Service" && self.port.is_none() {
            errors.push(FieldError::new(format!("{path}.port"), "a Service needs a port"));
        }
    }
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRouteTimeouts {
    /// The whole request; `0s`: no limit. By default 15 s.
    pub request: Option<Duration>,
    /// One attempt at a backend; `0s`: no limit. Not longer than `request`.
    pub backend_request: Option<Duration>,
}

impl Kind for HttpRoute {
    const KIND: &'static str = "HTTPRoute";
    const GROUP: &'static str = GATEWAY_GROUP;
    const VERSIONS: &'static [&'static str] = &["v1", "v1beta1"];
    const NAMESPACED: bool = true;
    const CORE: bool = false;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.check_parents(&mut errors);
        let rules = self.rules.as_deref().unwrap_or_default();
        if rules.iter().map(|rule| rule.matches.len()).sum::<usize>() > 128 {
            errors.push(FieldError::new("spec.rules", "more than 128 matches over all rules"));
        }
        for (index, rule) in rules.iter().enumerate() {
            let path = format!("spec.rules[{index}]");
            if rule.name.is_some() && rules[..index].iter().any(|earlier| earlier.name == rule.name) {
                let message = "an earlier rule has this name; names are unique in a route";
                errors.push(FieldError::new(format!("{path}.name"), message));
            }
            rule.check(&path, &mut errors);
        }
        errors
    }
}

impl HttpRoute {
    fn check_parents(&self, errors: &mut Vec<FieldError>) {
        for (index, parent) in self.parent_refs.iter().enumerate() {
            let same_parent = |other: &&ParentReference| {
                other.group() == parent.group()
                    && other.kind() == parent.kind()
                    && other.namespace == parent.namespace
                    && other.name == parent.name
            };
            let mut earlier = self.parent_refs[..index].iter().filter(same_parent).peekable();
            if earlier.peek().is_none() {
                continue;
            }
            let distinct = |other: &ParentReference| {
                (other.section_name.is_some() || other.port.is_some())
                    && (parent.section_name.is_some() || parent.port.is_some())
                    && (&other.section_name, other.port) != (&parent.section_name, parent.port)
            };
            if !earlier.all(distinct) {
                let message = "several references to one parent must each name another sectionName or port";
                errors.push(FieldError::new(format!("spec.parentRefs[{index}]"), message));
            }
        }
    }
}

impl HttpRouteRule {
    fn check(&self, path: &str, errors: &mut Vec<FieldError>) {
        for (index, entry) in self.matches.iter().enumerate() {
            if let Some(condition) = &entry.path {
                condition.check(&format!("{path}.matches[{index}].path.value"), errors);
            }
        }
        self.check_filters(&self.filters, &format!("{path}.filters"), errors);
        if self.filters.iter().any(|filter| filter.request_redirect.is_some())
            && !self.backend_refs.is_empty()
        {
            let message = "a rule that redirects has no backends";
            errors.push(FieldError::new(format!("{path}.backendRefs"), message));
        }
        for (index, backend) in self.backend_refs.iter().enumerate() {
            let path = format!("{path}.backendRefs[{index}]");
            backend.check_port(&path, errors);
            self.check_filters(&backend.filters, &format!("{path}.filters"), errors);
        }
        if let Some(HttpRouteTimeouts { request: Some(request), backend_request: Some(backend) }) =
            self.timeouts
            && let Some(limit) = request.limit()
            && backend.std() > limit
        {
            let message = format!("{backend} is longer than timeouts.request, which is {request}");
            errors.push(FieldError::new(format!("{path}.timeouts.backendRequest"), message));
        }
        let codes = self.retry.as_ref().map_or(&[][..], |retry| &retry.codes);
        for (place, code) in codes.iter().enumerate() {
            if codes[..place].contains(code) {
                let message = "this code stands twice; codes are unique";
                errors.push(FieldError::new(format!("{path}.retry.codes[{place}]"), message));
            }
        }
    }

    fn check_filters(&self, filters: &[HttpFilter], path: &str, errors: &mut Vec<FieldError>) {
        check_filters(filters, path, errors);
        if let Some(place) = filters.iter().position(replaces_prefix)
            && self.prefix().is_none()
        {
            let message = "ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix";
            errors.push(FieldError::new(format!("{path}[{place}]"), message));
        }
    }

    /// The path prefix that every request of the rule has, if one match says it for all: what ReplacePrefixMatch
    /// replaces.
    pub fn prefix(&self) -> Option<&str> {
        match &*self.matches {
            [] => Some("/"),
            [HttpRouteMatch { path: None, .. }] => Some("/"),
            [HttpRouteMatch { path: Some(path), .. }]
                if path.match_type.unwrap_or_default() == PathMatchType::PathPrefix =>
            {
                Some(path.value.as_deref().unwrap_or("/"))
            }
            _ => None,
        }
    }
}

impl HttpPathMatch {
    fn check(&self, path: &str, errors: &mut Vec<FieldError>) {
        let value = self.value.as_deref().unwrap_or("/");
        if self.match_type == Some(PathMatchType::RegularExpression) {
            return;
        }
        if !value.starts_with('/') {
            errors.push(FieldError::new(path, format!("`{value}` does not start with `/`")));
        }
        for bad in ["//", "/./", "/../", "%2f", "%2F", "#"] {
            if value.contains(bad) {
                errors.push(FieldError::new(
                    path,
                    format!("`{value}` contains `{bad}`, which no request path keeps"),
                ));
            }
        }
        for bad in ["/.", "/.."] {
            if value.ends_with(bad) {
                errors.push(FieldError::new(
                    path,
                    format!("`{value}` ends with `{bad}`, which no request path keeps"),
                ));
            }
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b);
        if let Some(bad) = value.chars().find(|c| !c.is_ascii() || !allowed(*c as u8)).filter(|c| *c != '#') {
            let message = format!("`{value}` contains `{bad}`, which a path holds percent-encoded only");
            errors.push(FieldError::new(path, message));
        }
    }
}
