use ir::Pattern;
use regex_syntax::ast::{Ast, parse::Parser};

/// Where an expression is looked for in a path by those who search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// From the beginning, whether it says so or not.
    FromStart,
    /// Anywhere.
    Anywhere,
}

/// The expression that matches a whole text exactly where `source` is found in it: others search, Gateway API's
/// implementations match the whole (as Envoy does). The error is why there is none: look-around and back-references,
/// which PCRE has, are not in RE2.
pub(super) fn whole(source: &str, search: Search, ignore_case: bool) -> Result<String, String> {
    let ast = Parser::new().parse(source).map_err(|error| error.kind().to_string())?;
    // An alternative begins and ends for itself.
    let (source, starts, ends) = match ast {
        Ast::Alternation(_) => (format!("(?:{source})"), false, false),
        _ => (source.to_owned(), source.starts_with('^'), ends(source)),
    };
    let before = match search {
        _ if starts => "",
        Search::FromStart => "^",
        Search::Anywhere => ".*",
    };
    let after = if ends { "" } else { ".*" };
    let case = if ignore_case { "(?i)" } else { "" };
    let whole = format!("{case}{before}{source}{after}");
    Pattern::new(&whole).map(|_| whole).map_err(|error| error.to_string())
}

/// True: nothing can follow, or anything can already.
fn ends(source: &str) -> bool {
    let unescaped = |end: &str| {
        source.strip_suffix(end).is_some_and(|rest| {
            let escapes = rest.bytes().rev().take_while(|byte| *byte == b'\\').count();
            escapes % 2 == 0
        })
    };
    unescaped("$") || unescaped(".*")
}

/// The expression that matches this text and no other.
pub(super) fn literal(text: &str) -> String {
    regex_syntax::escape(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_searched_for_becomes_what_is_matched_whole() {
        for (source, search, ignore_case, expected) in [
            ("/tea/[A-Z0-9]+", Search::FromStart, false, "^/tea/[A-Z0-9]+.*"),
            ("^/tea/[A-Z0-9]+", Search::FromStart, false, "^/tea/[A-Z0-9]+.*"),
            ("^/coffee/[A-Z0-9]+$", Search::Anywhere, false, "^/coffee/[A-Z0-9]+$"),
            ("/coffee", Search::Anywhere, false, ".*/coffee.*"),
            ("/price\\$", Search::FromStart, false, "^/price\\$.*"),
            ("/a|/b$", Search::FromStart, false, "^(?:/a|/b$).*"),
            ("^/a|/b", Search::Anywhere, true, "(?i).*(?:^/a|/b).*"),
            ("/all/.*", Search::FromStart, false, "^/all/.*"),
        ] {
            assert_eq!(whole(source, search, ignore_case).as_deref(), Ok(expected), "{source}");
        }
        for bad in ["(?=x)", r"(a)\1", "(", "a{9999}{9999}"] {
            whole(bad, Search::Anywhere, false).expect_err(bad);
        }
    }

    proptest! {
        #[test]
        fn the_whole_match_says_what_the_search_said(
            parts in prop::collection::vec(prop::sample::select(
                vec!["^", "$", "a", "b", "/", ".", "[ab]", "a+", "(?:ab)?", "|", "\\$", "b*", ".*"]), 0..7),
            text in "[ab/$]{0,8}",
            from_start: bool,
            ignore_case: bool,
        ) {
            let source = parts.concat();
            let search = if from_start { Search::FromStart } else { Search::Anywhere };
            // `a+` and `b*` after one another may be `a+*`, which one of the two parsers may refuse.
            let Ok(found) = whole(&source, search, ignore_case) else { return Ok(()) };
            let case = if ignore_case { "(?i)" } else { "" };
            let searched = match search {
                Search::FromStart => format!("{case}^(?:{source})"),
                Search::Anywhere => format!("{case}(?:{source})"),
            };
            let searched = regex::Regex::new(&searched).expect("it compiled with more around it");
            let pattern = Pattern::new(&found).expect("it was compiled");
            prop_assert_eq!(pattern.is_match(text.as_bytes()), searched.is_match(&text), "{} as {}", source, found);
        }
    }
}
