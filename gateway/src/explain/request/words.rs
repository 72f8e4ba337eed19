use http::HeaderName;
use ir::{Filter, HeaderModifier, HttpMatch, Matcher, Mirror, PathMatch, PathRewrite, Redirect, UrlRewrite};
use proxy::explain::{Candidate, Course, Miss};

use crate::admin::is_credential;

/// What a match asks for.
pub(super) fn matched(matches: &HttpMatch) -> String {
    let HttpMatch { path, method, headers, query } = matches;
    let mut words = vec![path_words(path)];
    words.extend(method.as_ref().map(|method| format!("method {method}")));
    words.extend(headers.iter().map(|one| header(&one.name, &one.value)));
    words.extend(query.iter().map(|one| parameter(&one.name, &one.value)));
    words.join(", ")
}

/// In what a request is not as a match asks.
pub(super) fn miss(course: &Course, method: &http::Method, candidate: &Candidate, miss: Miss) -> String {
    let hostname = candidate.hostname.as_ref().map_or("any host", ir::Hostname::as_str);
    let HttpMatch { path, method: named, headers, query } = &candidate.matches;
    match miss {
        Miss::Host => {
            let host = course.host.as_deref().unwrap_or("a request without a host");
            format!("its listener or hostname ({hostname}) does not cover {host}")
        }
        Miss::LessSpecificHost => format!("another hostname is more specific than its own ({hostname})"),
        Miss::Path => {
            let target = course.target.as_deref().unwrap_or_default();
            let asked = target.split_once('?').map_or(target, |(path, _)| path);
            format!("the path {asked} is not {}", path_words(path))
        }
        Miss::Method => match named {
            Some(named) => format!("the method is {method}, not {named}"),
            None => format!("{method} is served only where a match names it"),
        },
        Miss::Header(place) => match headers.get(place) {
            Some(one) => format!("not so: {}", header(&one.name, &one.value)),
            None => "a header".to_owned(),
        },
        Miss::Query(place) => match query.get(place) {
            Some(one) => format!("not so: {}", parameter(&one.name, &one.value)),
            None => "a query parameter".to_owned(),
        },
    }
}

fn path_words(path: &PathMatch) -> String {
    match path {
        PathMatch::Exact(path) => format!("exactly {path}"),
        PathMatch::Prefix(path) => format!("prefix {path}"),
        PathMatch::Pattern(pattern) => format!("expression {}", pattern.as_str()),
    }
}

/// Credentials are not shown.
fn header(name: &HeaderName, value: &Matcher) -> String {
    if is_credential(name.as_str()) {
        return format!("header {name} (its value is not shown)");
    }
    format!("header {name} {}", value_words(value))
}

fn parameter(name: &str, value: &Matcher) -> String {
    format!("query {name} {}", value_words(value))
}

fn value_words(value: &Matcher) -> String {
    match value {
        Matcher::Exact(value) => format!("= {value}"),
        Matcher::Pattern(pattern) => format!("~ {}", pattern.as_str()),
    }
}

/// What a filter does. Values of headers are not shown: they may be credentials.
pub(super) fn filter(filter: &Filter) -> String {
    match filter {
        Filter::RequestHeaderModifier(edits) => format!("request header: {}", edits_words(edits)),
        Filter::ResponseHeaderModifier(edits) => format!("response header: {}", edits_words(edits)),
        Filter::RequestRedirect(Redirect { status, .. }) => format!("redirect, {status}"),
        Filter::UrlRewrite(UrlRewrite { hostname, path }) => {
            let host = hostname.as_ref().map(|host| format!("host {host}"));
            let path = path.as_ref().map(|path| match path {
                PathRewrite::Full(path) => format!("path {path}"),
                PathRewrite::Prefix { matched, replacement } => {
                    format!(
                        "prefix {matched} to {}",
                        if replacement.is_empty() { "/" } else { &**replacement }
                    )
                }
            });
            let words: Vec<String> = host.into_iter().chain(path).collect();
            format!("rewrite: {}", words.join(", "))
        }
        Filter::RequestMirror(Mirror { upstream, numerator, denominator }) => {
            format!("mirror of {numerator} in {denominator} to {}", upstream.name)
        }
        Filter::Cors(_) => "CORS".to_owned(),
    }
}

fn edits_words(edits: &HeaderModifier) -> String {
    let HeaderModifier { set, add, remove } = edits;
    let names =
        |word: &str, names: Vec<&str>| (!names.is_empty()).then(|| format!("{word} {}", names.join(", ")));
    let set = names("sets", set.iter().map(|edit| &*edit.name).collect());
    let add = names("adds", add.iter().map(|edit| &*edit.name).collect());
    let remove = names("removes", remove.iter().map(String::as_str).collect());
    set.into_iter().chain(add).chain(remove).collect::<Vec<_>>().join("; ")
}
