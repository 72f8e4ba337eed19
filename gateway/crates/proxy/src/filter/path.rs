use http::Uri;
use ir::PathRewrite;

/// The path and query that a rewrite makes of a target's. The query stays, unless the rewrite brings its own.
/// Source: Gateway API, the table at `HTTPPathModifier.replacePrefixMatch`.
pub(super) fn rewritten(rewrite: &PathRewrite, uri: &Uri) -> String {
    let path = uri.path();
    let mut target = String::with_capacity(path.len() + uri.query().map_or(0, str::len) + 64);
    match rewrite {
        PathRewrite::Full(full) => {
            target.push_str(full);
            if full.contains('?') {
                return target;
            }
        }
        PathRewrite::Prefix { matched, replacement } => {
            replace_prefix(&mut target, path, matched, replacement)
        }
    }
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    target
}

fn replace_prefix(target: &mut String, path: &str, matched: &str, replacement: &str) {
    // The rule has matched whole elements of the path; `/` stands for none.
    let rest =
        if path == matched { "" } else { path.strip_prefix(matched.trim_end_matches('/')).unwrap_or(path) };
    let replacement = if rest.is_empty() { replacement } else { replacement.trim_end_matches('/') };
    target.push_str(replacement);
    target.push_str(rest);
    if target.is_empty() {
        target.push('/');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rewrite: &PathRewrite, cases: &[(&str, &str)]) {
        for (target, expected) in cases {
            assert_eq!(rewritten(rewrite, &target.parse().unwrap()), *expected, "{target} {rewrite:?}");
        }
    }

    /// The table of the API.
    #[test]
    fn a_prefix_is_replaced_by_whole_elements() {
        let prefix = |matched: &str, replacement: &str| PathRewrite::Prefix {
            matched: matched.into(),
            replacement: replacement.into(),
        };
        check(&prefix("/foo", "/xyz"), &[("/foo/bar", "/xyz/bar"), ("/foo", "/xyz"), ("/foo/", "/xyz/")]);
        check(&prefix("/foo", "/xyz/"), &[("/foo/bar", "/xyz/bar"), ("/foo", "/xyz/"), ("/foo/", "/xyz/")]);
        check(&prefix("/foo", ""), &[("/foo/bar", "/bar"), ("/foo/", "/"), ("/foo", "/")]);
        check(&prefix("/foo", "/"), &[("/foo/bar", "/bar"), ("/foo/", "/"), ("/foo", "/")]);
        check(&prefix("/", "/xyz"), &[("/", "/xyz"), ("/bar", "/xyz/bar"), ("/bar/", "/xyz/bar/")]);
        check(&prefix("/", "/"), &[("/", "/"), ("/bar", "/bar")]);
        check(&prefix("/a/b", "/c"), &[("/a/b/d%20e?q=/a/b", "/c/d%20e?q=/a/b"), ("/a/b?", "/c?")]);
    }

    #[test]
    fn a_whole_path_is_replaced_and_the_query_stays() {
        let full = |path: &str| PathRewrite::Full(path.into());
        check(&full("/new"), &[("/old", "/new"), ("/", "/new"), ("/old/deep/?a=b", "/new?a=b")]);
        check(&full("/new?c=d"), &[("/old", "/new?c=d"), ("/old?a=b", "/new?c=d")]);
        check(&full("/"), &[("/old?a=b", "/?a=b")]);
    }
}
