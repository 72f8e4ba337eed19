use std::cmp::Reverse;

use crate::{HttpMatch, PathMatch};

/// Where a match stands among others of its hostname, the first to be tried lowest: exact path, regular expression,
/// prefix; then length of the path; a method; number of headers; number of query parameters. Source: Gateway API
/// `HTTPRouteRule.matches`; regular expressions as Envoy Gateway has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    kind: u8,
    length: Reverse<usize>,
    method: Reverse<bool>,
    headers: Reverse<usize>,
    query: Reverse<usize>,
}

impl HttpMatch {
    /// Its precedence. Of equals the one of the older route goes first, then by name, then by place.
    pub fn precedence(&self) -> Precedence {
        let Self { path, method, headers, query } = self;
        let (kind, length) = match path {
            PathMatch::Exact(path) => (0, path.len()),
            PathMatch::Pattern(pattern) => (1, pattern.as_str().len()),
            PathMatch::Prefix(path) if &**path == "/" => (2, 0),
            PathMatch::Prefix(path) => (2, path.len()),
        };
        Precedence {
            kind,
            length: Reverse(length),
            method: Reverse(method.is_some()),
            headers: Reverse(headers.len()),
            query: Reverse(query.len()),
        }
    }
}

impl Precedence {
    /// Why this one goes before another; `None` if it does not, or only by age, name or place.
    pub fn over(&self, other: &Self) -> Option<&'static str> {
        let Self { kind, length, method, headers, query } = self;
        let because = [
            (
                kind.cmp(&other.kind),
                match kind {
                    0 => "an exact path goes before all others",
                    _ => "a regular expression goes before a prefix",
                },
            ),
            (length.cmp(&other.length), "the longer path goes first"),
            (method.cmp(&other.method), "a match that names the method goes first"),
            (headers.cmp(&other.headers), "the match with more headers goes first"),
            (query.cmp(&other.query), "the match with more query parameters goes first"),
        ];
        let (order, why) = because.into_iter().find(|(order, _)| order.is_ne())?;
        order.is_lt().then_some(why)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::{HeaderMatch, Matcher, Pattern, QueryMatch};

    #[test]
    fn the_order_is_gateway_apis_and_says_why() {
        let path = |path| HttpMatch { path, ..HttpMatch::default() };
        let prefix = |text: &str| path(PathMatch::Prefix(text.into()));
        let header = |name: &'static str| HeaderMatch {
            name: http::HeaderName::from_static(name),
            value: Matcher::Exact("1".into()),
        };
        let query = QueryMatch { name: "q".into(), value: Matcher::Exact("1".into()) };
        let sorted = [
            (path(PathMatch::Exact("/a".into())), "exact"),
            (path(PathMatch::Pattern(Pattern::new("/a.*").expect("RE2"))), "expression"),
            (prefix("/long"), "longer"),
            (HttpMatch { method: Some(Method::GET), ..prefix("/a") }, "method"),
            (HttpMatch { headers: vec![header("x-a"), header("x-b")], ..prefix("/a") }, "headers"),
            (HttpMatch { headers: vec![header("x-a")], query: vec![query], ..prefix("/a") }, "query"),
            (HttpMatch { headers: vec![header("x-a")], ..prefix("/a") }, "headers"),
            (prefix("/a"), "longer"),
            (prefix("/"), ""),
        ];
        for pair in sorted.windows(2) {
            let [(first, word), (second, _)] = pair else { unreachable!("two each") };
            let (first, second) = (first.precedence(), second.precedence());
            assert!(first < second, "{first:?} {second:?}");
            assert!(first.over(&second).is_some_and(|why| why.contains(word)), "{word}: {first:?}");
            assert_eq!((second.over(&first), first.over(&first)), (None, None));
        }
    }
}
