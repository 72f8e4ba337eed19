use regex_syntax::hir::literal::{ExtractKind, Extractor};

use ir::Pattern;

use super::{
    matches::{Match, PathTest, ValueTest},
    remarks::Remarks,
    rule::Rule,
};

/// Most characters of a path in a match, as HTTPRoute's definition has it.
const MOST_PATH: usize = 1024;

/// Keeps an order of rules under one host, in which the first that matches answers. Gateway API's own order (exact path,
/// expression, longest prefix) is another one: where two rules that may match the same request stand in it the other way
/// round, paths become regular expressions, and what is to be tried first becomes the longer one by groups that match
/// nothing. Where that cannot be, it is said.
pub(super) fn keep(rules: &mut [&mut Rule<'_>], remarks: &mut Remarks) {
    // From the end: what stands behind has its length when the one before it is looked at.
    for first in (0..rules.len()).rev() {
        let mut next = first + 1;
        while next < rules.len() {
            let (before, after) = rules.split_at_mut(next);
            let changed = put_before(before[first], after[0], remarks);
            // A longer expression may stand before another one now.
            next = if changed { first + 1 } else { next + 1 };
        }
    }
}

/// True if the first one has been changed.
fn put_before(first: &mut Rule<'_>, second: &mut Rule<'_>, remarks: &mut Remarks) -> bool {
    if stands_before(first, second) || first.then == second.then || !overlap(&first.matched, &second.matched)
    {
        return false;
    }
    let movable = |rule: &Rule<'_>| rule.then.closed || !rule.then.effects.replaces_prefix();
    let demoted = !matches!(second.matched.path, PathTest::Exact(_)) || movable(second);
    let pattern = padded(first.matched.path.as_pattern(), &second.matched);
    if !movable(first) || !demoted || pattern.len() > MOST_PATH {
        let place = &second.spot;
        remarks.differs(
            &first.spot,
            format!(
                "was tried before {} of {} ({}:{}), and is tried after it now, where both match",
                place.path,
                place.object.id,
                place.object.file.display(),
                place.position().line
            ),
        );
        return false;
    }
    if let PathTest::Exact(_) = second.matched.path {
        second.matched.path = PathTest::Pattern(second.matched.path.as_pattern());
        return put_before(first, second, remarks);
    }
    first.matched.path = PathTest::Pattern(pattern);
    remarks.note(
        &first.spot,
        format!("became a regular expression of this length so as to be tried before {}", second.spot.path),
    );
    true
}

/// True if the rules of one route may stand in another order than the one in which they must be tried: Gateway API's own
/// order decides between all that may match the same request.
pub(super) fn is_free(rules: &[Rule<'_>]) -> bool {
    rules.iter().enumerate().all(|(place, rule)| {
        rules[place + 1..].iter().all(|other| {
            let (one, two) = (&rule.matched, &other.matched);
            one.precedence() != two.precedence() || rule.then == other.then || !overlap(one, two)
        })
    })
}

/// Of equals, the one that stands first in its route wins; among routes the name decides, which is no order.
fn stands_before(first: &Rule<'_>, second: &Rule<'_>) -> bool {
    let (one, other) = (first.matched.precedence(), second.matched.precedence());
    one < other || (one == other && std::ptr::eq(first.spot.object, second.spot.object))
}

/// The expression, longer than that of the other match: `(?:)` matches nothing and changes nothing.
fn padded(mut pattern: String, other: &Match) -> String {
    if let PathTest::Pattern(other) = &other.path {
        while pattern.len() <= other.len() {
            pattern.push_str("(?:)");
        }
    }
    pattern
}

/// False if no request fulfils both.
fn overlap(a: &Match, b: &Match) -> bool {
    let methods = match (a.method, b.method) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    let values = |a: &[ValueTest], b: &[ValueTest]| {
        a.iter().all(|a| {
            let other = |b: &&ValueTest| b.name.eq_ignore_ascii_case(&a.name) && !a.pattern && !b.pattern;
            b.iter().filter(other).all(|b| a.value == b.value)
        })
    };
    methods && values(&a.headers, &b.headers) && values(&a.query, &b.query) && paths_overlap(&a.path, &b.path)
}

fn paths_overlap(a: &PathTest, b: &PathTest) -> bool {
    match (a, b) {
        (PathTest::Exact(path), other) | (other, PathTest::Exact(path)) => is_match(other, path),
        (PathTest::Prefix(a), PathTest::Prefix(b)) => is_below(a, b) || is_below(b, a),
        _ => {
            let (a, b) = (beginnings(a), beginnings(b));
            a.iter().any(|a| b.iter().any(|b| a.starts_with(b) || b.starts_with(a)))
        }
    }
}

fn is_match(test: &PathTest, path: &str) -> bool {
    match test {
        PathTest::Exact(exact) => exact == path,
        PathTest::Prefix(prefix) => is_below(path, prefix),
        PathTest::Pattern(pattern) => {
            Pattern::new(pattern).is_ok_and(|pattern| pattern.is_match(path.as_bytes()))
        }
    }
}

fn is_below(path: &str, prefix: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every path that fulfils the test begins with one of these.
fn beginnings(test: &PathTest) -> Vec<Vec<u8>> {
    let anything = || vec![Vec::new()];
    let Ok(hir) = regex_syntax::parse(&test.as_pattern()) else { return anything() };
    let found = Extractor::new().kind(ExtractKind::Prefix).extract(&hir);
    found.literals().map_or_else(anything, |all| all.iter().map(|one| one.as_bytes().to_vec()).collect())
}

/// What fulfils both; `None`: nothing does. The error says why that cannot be told.
pub(super) fn intersection(a: &PathTest, b: &PathTest) -> Result<Option<PathTest>, String> {
    match (a, b) {
        (any, other) | (other, any) if any.is_any() => Ok(Some(other.clone())),
        (PathTest::Exact(path), other) | (other, PathTest::Exact(path)) => {
            Ok(is_match(other, path).then(|| PathTest::Exact(path.clone())))
        }
        (PathTest::Prefix(one), PathTest::Prefix(other)) => Ok(if is_below(one, other) {
            Some(a.clone())
        } else if is_below(other, one) {
            Some(b.clone())
        } else {
            None
        }),
        (PathTest::Pattern(_), _) | (_, PathTest::Pattern(_)) => {
            let begins = |pattern: &PathTest, prefix: &str| {
                let prefix = format!("{}/", prefix.trim_end_matches('/'));
                beginnings(pattern).iter().all(|begin| begin.starts_with(prefix.as_bytes()))
            };
            match (a, b) {
                (pattern @ PathTest::Pattern(_), PathTest::Prefix(prefix))
                | (PathTest::Prefix(prefix), pattern @ PathTest::Pattern(_))
                    if begins(pattern, prefix) =>
                {
                    Ok(Some(pattern.clone()))
                }
                _ if a == b => Ok(Some(a.clone())),
                _ if !paths_overlap(a, b) => Ok(None),
                _ => Err("HTTPRoute has one condition on the path".to_owned()),
            }
        }
    }
}
