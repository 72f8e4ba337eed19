use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, PoisonError, Weak},
};

use serde::{Serialize, Serializer};

/// A compiled regular expression that must match the *whole* text, as in Envoy. RE2 syntax (what the
/// `regex` crate reads: no look-around, no back-references), matched in linear time. Compares by source.
#[derive(Clone)]
pub struct Pattern(Arc<Compiled>);

struct Compiled {
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

/// Expressions that somebody holds. A reload makes nearly all of them again, and compiling one takes as long as
/// translating ten routes.
#[derive(Default)]
struct InUse {
    by_source: HashMap<Box<str>, Weak<Compiled>>,
    /// At this size the dead are removed.
    sweep_at: usize,
}

static IN_USE: LazyLock<Mutex<InUse>> = LazyLock::new(Mutex::default);

impl InUse {
    fn find(&self, source: &str) -> Option<Arc<Compiled>> {
        self.by_source.get(source)?.upgrade()
    }

    fn add(&mut self, compiled: &Arc<Compiled>) {
        if self.by_source.len() >= self.sweep_at {
            self.by_source.retain(|_, compiled| compiled.strong_count() > 0);
            self.sweep_at = 1024.max(2 * self.by_source.len());
        }
        self.by_source.insert(compiled.source.clone(), Arc::downgrade(compiled));
    }
}

impl Pattern {
    /// Compiles an expression, unless the same is in use somewhere. Fails on syntax outside RE2 and on expressions
    /// that compile to over 1 MiB.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        let in_use = || IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = in_use().find(source) {
            return Ok(Self(compiled));
        }
        let regex = compile(source).map_err(|reason| PatternError { pattern: source.to_owned(), reason })?;
        let compiled = Arc::new(Compiled { source: source.into(), regex });
        in_use().add(&compiled);
        Ok(Self(compiled))
    }

    /// The expression as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.0.source
    }

    /// True if the whole text matches.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.0.regex.is_match(text)
    }

    /// True if the expression starts at `^` and is not closed by `$` or `.*`: most often the author meant
    /// "starts with", which is not what a whole match does.
    pub fn looks_like_prefix(&self) -> bool {
        let source = self.as_str();
        source.starts_with('^') && !source.ends_with('$') && !source.ends_with(".*")
    }
}

fn compile(source: &str) -> Result<regex::bytes::Regex, String> {
    // A pattern like `a)(b` is well-formed only inside our own group.
    let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
    parser.parse(source).map_err(|error| reason(&error))?;
    regex::bytes::RegexBuilder::new(&format!("^(?:{source})$"))
        .size_limit(SIZE_LIMIT)
        .build()
        .map_err(|error| reason(&error))
}

/// The last line of the parser's words says what it is; the lines before it draw the place.
fn reason(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).trim_end_matches('.').to_owned()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
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
    fn is_compiled_once_while_it_is_in_use() {
        let first = Pattern::new("/once/[a-z]+").unwrap();
        assert!(Arc::ptr_eq(&first.0, &Pattern::new("/once/[a-z]+").unwrap().0));
        drop(first);
        assert!(IN_USE.lock().unwrap().find("/once/[a-z]+").is_none());
    }

    #[test]
    fn refuses_what_re2_refuses() {
        for bad in ["(", "a)(b", "(?=a)", r"(a)\1", "a{1000}{1000}{1000}"] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }
}
