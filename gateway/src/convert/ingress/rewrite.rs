use super::super::{effects::PathChange, matches::PathTest};

/// What becomes of `rewrite-target`.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Rewrite {
    /// The path stays.
    Nothing,
    /// The condition stays; the path becomes this text.
    Whole(PathChange),
    /// The condition is this prefix, in whose place something else stands.
    Prefix(PathTest, Option<PathChange>),
}

/// Ways to write "this prefix and what follows it": the end of the path's expression, and the group with the rest. Where the
/// rest begins with a slash of its own, `true`.
const IDIOMS: [(&str, &str, bool); 8] = [
    ("(/|$)(.*)", "$2", false),
    ("(/|$)(.*)$", "$2", false),
    ("/(.*)", "$1", false),
    ("/(.*)$", "$1", false),
    ("/?(.*)", "$1", false),
    ("/?(.*)$", "$1", false),
    ("(/.*)?", "$1", true),
    ("(/.*)", "$1", true),
];

/// Reads a path's expression and the target that it is rewritten to. The error says why there is no counterpart.
pub(in super::super) fn rewrite(path: &str, target: &str) -> Result<Rewrite, String> {
    if target == path {
        return Ok(Rewrite::Nothing);
    }
    if target.contains("://") {
        return Err("nginx redirects to a target with a scheme; write a redirect".to_owned());
    }
    if !target.contains('$') {
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        return Ok(Rewrite::Whole(PathChange::Full(target)));
    }
    let prefixes = IDIOMS.iter().filter_map(|(end, group, slash)| {
        let matched = literal(path.trim_start_matches('^').strip_suffix(end)?)?;
        let before = target.strip_suffix(group)?;
        let before = if *slash { before } else { before.strip_suffix('/')? };
        (!before.contains('$')).then(|| (matched, before.to_owned()))
    });
    let Some((matched, instead)) = prefixes.into_iter().next() else {
        return Err(
            "what an expression has found cannot be put together anew, but for the rest behind a prefix"
                .to_owned(),
        );
    };
    let same = matched == instead;
    let or_root = |text: String| if text.is_empty() { "/".to_owned() } else { text };
    let change = (!same).then(|| PathChange::Prefix(or_root(instead)));
    Ok(Rewrite::Prefix(PathTest::Prefix(or_root(matched)), change))
}

/// The text that an expression stands for, if it has no choice. A dot is one: nobody means another by it.
fn literal(expression: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = expression.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.push(characters.next().filter(|c| !c.is_ascii_alphanumeric())?),
            '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => return None,
            _ => text.push(character),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_and_the_rest_is_read_however_it_is_written() {
        let prefix = |prefix: &str, instead: Option<&str>| {
            let instead = instead.map(|text| PathChange::Prefix(text.to_owned()));
            Ok(Rewrite::Prefix(PathTest::Prefix(prefix.to_owned()), instead))
        };
        let full = |path: &str| Ok(Rewrite::Whole(PathChange::Full(path.to_owned())));
        for (path, target, expected) in [
            ("/api(/|$)(.*)", "/$2", prefix("/api", Some("/"))),
            ("/api/(.*)", "/v1/$1", prefix("/api", Some("/v1"))),
            ("/api/?(.*)", "/$1", prefix("/api", Some("/"))),
            (r"/a\.b(/.*)?", "/c$1", prefix("/a.b", Some("/c"))),
            ("/(.*)", "/$1", prefix("/", None)),
            ("/(.*)", "/app/$1", prefix("/", Some("/app"))),
            ("/old", "/", full("/")),
            ("/old", "new", full("/new")),
            ("/same", "/same", Ok(Rewrite::Nothing)),
        ] {
            assert_eq!(rewrite(path, target), expected, "{path} {target}");
        }
        for (path, target) in [
            ("/(a|b)/(.*)", "/$2/$1"),
            ("/a(/|$)(.*)", "/$1"),
            ("/[a-z]+/(.*)", "/$1"),
            ("/a/(.*)", "/$1/x"),
            ("/a", "https://b.example/"),
        ] {
            rewrite(path, target).expect_err(path);
        }
    }
}
