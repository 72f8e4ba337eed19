use super::super::{
    effects::PathChange,
    matches::{Match, PathTest},
    rule::Then,
};

/// A match of a router and what has been decided of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Draft {
    pub(super) matched: Match,
    pub(super) then: Then,
}

/// What stands in the place of a prefix of the path, for requests that have it; others go on as they were. The error says
/// why that cannot be.
pub(super) fn replace(
    draft: Draft,
    prefix: &str,
    instead: &str,
    tell: bool,
) -> Result<Vec<Draft>, &'static str> {
    let prefix = prefix.trim_end_matches('/');
    let instead = instead.trim_end_matches('/');
    let Draft { matched, mut then } = draft;
    let told = |mut then: Then| {
        if tell {
            then.effects.request.set("X-Forwarded-Prefix", prefix);
        }
        then
    };
    let seen = match (&matched.path, &then.effects.path) {
        (_, Some(PathChange::Full(path))) | (PathTest::Exact(path), None) => {
            if let Some(rest) = below(path, prefix) {
                then.effects.path = Some(PathChange::Full(or_root(format!("{instead}{rest}"))));
                then = told(then);
            }
            return Ok(vec![Draft { matched, then }]);
        }
        (PathTest::Pattern(_), _) => {
            return Err(
                "HTTPRoute replaces a prefix only where the rule matches by one, not by an expression",
            );
        }
        (_, Some(PathChange::Prefix(seen))) | (PathTest::Prefix(seen), None) => {
            seen.trim_end_matches('/').to_owned()
        }
    };
    if let Some(rest) = below(&seen, prefix) {
        then.effects.path = Some(PathChange::Prefix(or_root(format!("{instead}{rest}"))));
        return Ok(vec![Draft { matched, then: told(then) }]);
    }
    // The router matches more than what has the prefix.
    let Some(rest) = below(prefix, &seen) else { return Ok(vec![Draft { matched, then }]) };
    let PathTest::Prefix(outer) = &matched.path else { return Ok(vec![Draft { matched, then }]) };
    let inner = format!("{}{rest}", outer.trim_end_matches('/'));
    let mut within = Draft {
        matched: Match { path: PathTest::Prefix(inner), ..matched.clone() },
        then: told(then.clone()),
    };
    within.then.effects.path = Some(PathChange::Prefix(or_root(instead.to_owned())));
    Ok(vec![within, Draft { matched, then }])
}

/// Puts something before the path.
pub(super) fn add(draft: Draft, prefix: &str) -> Result<Draft, &'static str> {
    let prefix = prefix.trim_end_matches('/');
    let Draft { matched, mut then } = draft;
    then.effects.path = Some(match (&matched.path, &then.effects.path) {
        (_, Some(PathChange::Full(path))) | (PathTest::Exact(path), _) => {
            PathChange::Full(format!("{prefix}{path}"))
        }
        (_, Some(PathChange::Prefix(seen))) | (PathTest::Prefix(seen), None) => {
            PathChange::Prefix(or_root(format!("{prefix}{}", seen.trim_end_matches('/'))))
        }
        (PathTest::Pattern(_), None) => {
            return Err(
                "HTTPRoute puts something before a path only where the rule matches by a prefix or exactly",
            );
        }
    });
    Ok(Draft { matched, then })
}

/// What follows a prefix of whole elements.
fn below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn or_root(path: String) -> String {
    if path.is_empty() { "/".to_owned() } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(path: PathTest) -> Draft {
        Draft { matched: Match { path, ..Match::default() }, then: Then::default() }
    }

    fn shown(drafts: &[Draft]) -> Vec<(PathTest, Option<PathChange>)> {
        drafts.iter().map(|draft| (draft.matched.path.clone(), draft.then.effects.path.clone())).collect()
    }

    fn prefix(path: &str) -> PathTest {
        PathTest::Prefix(path.to_owned())
    }

    fn instead(path: &str) -> Option<PathChange> {
        Some(PathChange::Prefix(path.to_owned()))
    }

    #[test]
    fn a_prefix_is_stripped_where_it_is() {
        let strip = |path, gone| shown(&replace(draft(path), gone, "", false).expect("it can be"));
        assert_eq!(strip(prefix("/a"), "/a"), [(prefix("/a"), instead("/"))]);
        assert_eq!(strip(prefix("/a/b"), "/a"), [(prefix("/a/b"), instead("/b"))]);
        assert_eq!(strip(prefix("/a/"), "/a/b"), [(prefix("/a/b"), instead("/")), (prefix("/a/"), None)]);
        assert_eq!(strip(prefix("/"), "/a"), [(prefix("/a"), instead("/")), (prefix("/"), None)]);
        assert_eq!(strip(prefix("/ab"), "/a"), [(prefix("/ab"), None)]);
        let exact = PathTest::Exact("/a/b".to_owned());
        let full = Some(PathChange::Full("/b".to_owned()));
        assert_eq!(strip(exact.clone(), "/a"), [(exact, full)]);
        replace(draft(PathTest::Pattern("/a.*".to_owned())), "/a", "", false).expect_err("an expression");
    }

    #[test]
    fn one_change_follows_another() {
        let stripped = replace(draft(prefix("/a/b")), "/a", "", false).expect("it can be").remove(0);
        let added = add(stripped, "/c/").expect("it can be");
        assert_eq!(added.then.effects.path, instead("/c/b"));
        let again = replace(added, "/c", "/d", false).expect("it can be");
        assert_eq!(shown(&again), [(prefix("/a/b"), instead("/d/b"))]);
        assert_eq!(add(draft(prefix("/")), "/x").expect("it can be").then.effects.path, instead("/x"));
    }
}
