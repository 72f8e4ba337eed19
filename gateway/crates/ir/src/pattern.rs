use std::fmt;

use serde::{Serialize, Serializer};

/// A compiled regular expression that must match the *whole* text, as in Envoy. RE2 syntax (what the
/// `regex` crate reads: no look-around, no back-references), matched in linear time. Compares by source.
#[derive(Clone)]
pub struct Pattern {
    source: Box<str>,
    regex: regex::bytes::Regex,
}

/// Why a text is not a [`Pattern`]: the parser's own words, on one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a regular expression (RE2 syntax): {reason}")]
pub struct PatternError {
    pattern: String,
    reason: String,
}

/// Most bytes that one compiled expression may take: hostile repetition counts end here.
const SIZE_LIMIT: usize = 1 << 20;

impl Pattern {
    /// Compiles an expression. Fails on syntax outside RE2 and on expressions that compile to over 1 MiB.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        regex::bytes::RegexBuilder::new(&format!("^(?:{source})$"))
            .size_limit(SIZE_LIMIT)
            .build()
            // A pattern like `a)(b` is well-formed only inside our own group.
            .and_then(|regex| regex::bytes::Regex::new(source).map(|_| regex))
            .map(|regex| Self { source: source.into(), regex })
            .map_err(|error| PatternError {
                pattern: source.to_owned(),
                reason: error.to_string().lines().last().unwrap_or_default().trim().to_owned(),
            })
    }

    /// The expression as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// True if the whole text matches.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    /// True if the expression starts at `^` and is not closed by `$` or `.*`: most often the author meant
    /// "starts with", which is not what a whole match does.
    pub fn looks_like_prefix(&self) -> bool {
        let source = &*self.source;
        source.starts_with('^') && !source.ends_with('$') && !source.ends_with(".*")
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.source)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_must_match() {
        let tea = Pattern::new("^/tea/[A-Z0-9]+").unwrap();
        assert!(tea.is_match(b"/tea/EARLGREY"));
        assert!(!tea.is_match(b"/tea/EARLGREY/"));
        assert!(!tea.is_match(b"/x/tea/EARLGREY"));
        assert!(tea.looks_like_prefix());
        assert!(!Pattern::new("/a|/b").unwrap().is_match(b"/ab"));
    }

    #[test]
    fn refuses_what_re2_refuses() {
        for bad in ["(", "a)(b", "(?=a)", r"(a)\1", "a{1000}{1000}{1000}"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }
}
