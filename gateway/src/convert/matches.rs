use std::cmp::Reverse;

use serde_json::{Value as Json, json};

/// What a request must be like, as HTTPRoute says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) path: PathTest,
    pub(super) method: Option<&'static str>,
    pub(super) headers: Vec<ValueTest>,
    pub(super) query: Vec<ValueTest>,
}

/// How the path is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PathTest {
    /// The whole path.
    Exact(String),
    /// Whole elements from the start.
    Prefix(String),
    /// A regular expression that matches the whole path.
    Pattern(String),
}

/// A condition on a header or a query parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValueTest {
    pub(super) name: String,
    pub(super) value: String,
    /// True: a regular expression that matches the whole value.
    pub(super) pattern: bool,
}

/// The methods that HTTPRoute knows.
pub(super) const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

impl Default for Match {
    /// Every request.
    fn default() -> Self {
        Self { path: PathTest::Prefix("/".to_owned()), method: None, headers: Vec::new(), query: Vec::new() }
    }
}

impl PathTest {
    /// True for what every path fulfils.
    pub(super) fn is_any(&self) -> bool {
        matches!(self, Self::Prefix(prefix) if prefix == "/")
    }

    /// The same as a regular expression.
    pub(super) fn as_pattern(&self) -> String {
        match self {
            Self::Exact(path) => regex_syntax::escape(path),
            Self::Prefix(prefix) => match prefix.trim_end_matches('/') {
                "" => "/.*".to_owned(),
                prefix => format!("{}(?:/.*)?", regex_syntax::escape(prefix)),
            },
            Self::Pattern(pattern) => pattern.clone(),
        }
    }

    fn document(&self) -> Json {
        let (kind, value) = match self {
            Self::Exact(path) => ("Exact", path),
            Self::Prefix(prefix) => ("PathPrefix", prefix),
            Self::Pattern(pattern) => ("RegularExpression", pattern),
        };
        json!({ "type": kind, "value": value })
    }
}

impl ValueTest {
    pub(super) fn exact(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned(), pattern: false }
    }

    pub(super) fn pattern(name: &str, value: String) -> Self {
        Self { name: name.to_owned(), value, pattern: true }
    }

    fn document(&self) -> Json {
        let Self { name, value, pattern } = self;
        if *pattern {
            json!({ "type": "RegularExpression", "name": name, "value": value })
        } else {
            json!({ "name": name, "value": value })
        }
    }
}

/// Gateway API's order of precedence, as this gateway keeps it: the lowest is tried first.
pub(super) type Precedence = (u8, Reverse<usize>, Reverse<bool>, Reverse<usize>, Reverse<usize>);

impl Match {
    pub(super) fn precedence(&self) -> Precedence {
        let Self { path, method, headers, query } = self;
        let (kind, length) = match path {
            PathTest::Exact(path) => (0, path.len()),
            PathTest::Pattern(pattern) => (1, pattern.len()),
            PathTest::Prefix(prefix) => (2, prefix.trim_end_matches('/').len()),
        };
        (kind, Reverse(length), Reverse(method.is_some()), Reverse(headers.len()), Reverse(query.len()))
    }

    pub(super) fn document(&self) -> Json {
        let Self { path, method, headers, query } = self;
        let mut document = json!({ "path": path.document() });
        if let Some(method) = method {
            document["method"] = json!(method);
        }
        if !headers.is_empty() {
            document["headers"] = headers.iter().map(ValueTest::document).collect();
        }
        if !query.is_empty() {
            document["queryParams"] = query.iter().map(ValueTest::document).collect();
        }
        document
    }
}
