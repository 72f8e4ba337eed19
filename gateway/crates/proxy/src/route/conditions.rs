use std::cell::OnceCell;

use http::{HeaderName, Method, header::HOST, request::Parts};
use ir::{HeaderMatch, HttpMatch, Matcher, PathMatch, QueryMatch};

use super::{query::Query, router::needs_naming};
use crate::explain::Miss;

/// A request as conditions see it. Its query is parsed when the first condition asks for it, once.
pub(crate) struct Request<'a> {
    head: &'a Parts,
    query: OnceCell<Query<'a>>,
    needs_naming: bool,
}

impl<'a> Request<'a> {
    /// The request of this head.
    pub(crate) fn new(head: &'a Parts) -> Self {
        Self { head, query: OnceCell::new(), needs_naming: needs_naming(&head.method) }
    }

    /// The path; empty for CONNECT.
    pub(crate) fn path(&self) -> &'a str {
        self.head.uri.path()
    }

    /// True if everything but the path is as the match asks.
    pub(super) fn satisfies(&self, matches: &HttpMatch) -> bool {
        let HttpMatch { path: _, method, headers, query } = matches;
        self.satisfies_method(method.as_ref())
            && headers.iter().all(|condition| self.satisfies_header(condition))
            && query.iter().all(|condition| self.satisfies_query(condition))
    }

    /// What is not as the match asks, for people; none: it matches.
    pub(crate) fn misses(&self, matches: &HttpMatch) -> Vec<Miss> {
        let HttpMatch { path, method, headers, query } = matches;
        let path = (!path_matches(path, self.path())).then_some(Miss::Path);
        let method = (!self.satisfies_method(method.as_ref())).then_some(Miss::Method);
        let headers = headers.iter().enumerate();
        let headers = headers.filter(|(_, condition)| !self.satisfies_header(condition));
        let query = query.iter().enumerate().filter(|(_, condition)| !self.satisfies_query(condition));
        let misses = path.into_iter().chain(method);
        misses
            .chain(headers.map(|(place, _)| Miss::Header(place)))
            .chain(query.map(|(place, _)| Miss::Query(place)))
            .collect()
    }

    fn satisfies_method(&self, method: Option<&Method>) -> bool {
        match method {
            Some(method) => *method == self.head.method,
            None => !self.needs_naming,
        }
    }

    fn satisfies_header(&self, HeaderMatch { name, value }: &HeaderMatch) -> bool {
        let mut lines = self.head.headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (None, _) => self.satisfies_authority(name, value),
            (Some(only), None) => value.is_match(only.as_bytes()),
            (Some(first), Some(second)) => {
                let mut joined = first.as_bytes().to_vec();
                for line in std::iter::once(second).chain(lines) {
                    joined.push(b',');
                    joined.extend_from_slice(line.as_bytes());
                }
                value.is_match(&joined)
            }
        }
    }

    /// HTTP/2 carries Host as `:authority` (RFC 9113 §8.3.1).
    fn satisfies_authority(&self, name: &HeaderName, value: &Matcher) -> bool {
        let authority = self.head.uri.authority().filter(|_| name == HOST);
        authority.is_some_and(|authority| value.is_match(authority.as_str().as_bytes()))
    }

    fn satisfies_query(&self, QueryMatch { name, value }: &QueryMatch) -> bool {
        let query = self.query.get_or_init(|| Query::parse(self.head.uri.query().unwrap_or_default()));
        query.first(name).is_some_and(|found| value.is_match(found))
    }
}

/// What the table's index answers at once, for one match alone.
fn path_matches(condition: &PathMatch, path: &str) -> bool {
    match condition {
        PathMatch::Exact(exact) => **exact == *path,
        PathMatch::Prefix(prefix) => {
            let rest = path.strip_prefix(prefix.strip_suffix('/').unwrap_or(prefix));
            path.starts_with('/') && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        PathMatch::Pattern(pattern) => pattern.is_match(path.as_bytes()),
    }
}
