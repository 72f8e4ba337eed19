use std::collections::BTreeSet;

use http::{HeaderName, Method};
use ir::{HeaderMatch, HttpMatch, Matcher, PathMatch, Pattern, QueryMatch};
use manifest::{
    Object, Severity,
    kind::{HttpMethod, HttpRoute, HttpRouteMatch, MatchType, PathMatchType},
};

use crate::report::Report;

/// One `matches[]` entry. Fails with the field and what is wrong with it, both for a condition.
pub(super) fn http_match(
    route: &Object<HttpRoute>,
    spec: &HttpRouteMatch,
    path: &str,
    report: &mut Report,
) -> Result<HttpMatch, String> {
    let HttpRouteMatch { path: path_spec, headers, query_params, method } = spec;
    let mut seen = BTreeSet::new();
    let headers = headers
        .iter()
        .enumerate()
        .filter(|(_, header)| seen.insert(header.name.to_ascii_lowercase()))
        .map(|(place, header)| {
            let at = format!("{path}.headers[{place}]");
            let name = HeaderName::from_bytes(header.name.as_bytes())
                .map_err(|_| format!("{at}.name: `{}` is no header name", header.name))?;
            Ok(HeaderMatch { name, value: matcher(route, header.match_type, &header.value, &at, report)? })
        })
        .collect::<Result<Vec<_>, String>>()?;
    let mut seen = BTreeSet::new();
    let query = query_params
        .iter()
        .enumerate()
        .filter(|(_, parameter)| seen.insert(parameter.name.as_str()))
        .map(|(place, parameter)| {
            let at = format!("{path}.queryParams[{place}]");
            let value = matcher(route, parameter.match_type, &parameter.value, &at, report)?;
            Ok(QueryMatch { name: parameter.name.as_str().into(), value })
        })
        .collect::<Result<Vec<_>, String>>()?;
    let path_spec = path_spec.clone().unwrap_or_default();
    let value = path_spec.value.as_deref().unwrap_or("/");
    let path = match path_spec.match_type.unwrap_or_default() {
        PathMatchType::Exact => PathMatch::Exact(value.into()),
        PathMatchType::PathPrefix => PathMatch::Prefix(prefix(value).into()),
        PathMatchType::RegularExpression => {
            let at = format!("{path}.path.value");
            let pattern = pattern(route, value, &at, report)?;
            hint_at_prefix(route, &pattern, &at, report);
            PathMatch::Pattern(pattern)
        }
    };
    Ok(HttpMatch { path, method: method.map(method_of), headers, query })
}

/// `/a/` and `/a` are the same prefix.
pub(super) fn prefix(value: &str) -> &str {
    match value.trim_end_matches('/') {
        "" => "/",
        trimmed => trimmed,
    }
}

fn matcher(
    route: &Object<HttpRoute>,
    kind: Option<MatchType>,
    value: &str,
    path: &str,
    report: &mut Report,
) -> Result<Matcher, String> {
    match kind.unwrap_or_default() {
        MatchType::Exact => Ok(Matcher::Exact(value.into())),
        MatchType::RegularExpression => {
            pattern(route, value, &format!("{path}.value"), report).map(Matcher::Pattern)
        }
    }
}

fn pattern(
    route: &Object<HttpRoute>,
    value: &str,
    path: &str,
    report: &mut Report,
) -> Result<Pattern, String> {
    Pattern::new(value).map_err(|error| {
        report.add(Severity::Error, route, path, "UnsupportedValue", error.to_string());
        format!("{path}: {error}")
    })
}

fn hint_at_prefix(route: &Object<HttpRoute>, pattern: &Pattern, path: &str, report: &mut Report) {
    if pattern.looks_like_prefix() {
        let source = pattern.as_str();
        let message =
            format!("the whole path must match `{source}`; if a prefix is meant, write `{source}.*`");
        report.add(Severity::Note, route, path, "WholePathMatch", message);
    }
}

fn method_of(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Delete => Method::DELETE,
        HttpMethod::Connect => Method::CONNECT,
        HttpMethod::Options => Method::OPTIONS,
        HttpMethod::Trace => Method::TRACE,
        HttpMethod::Patch => Method::PATCH,
    }
}
