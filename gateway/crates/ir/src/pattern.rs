use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak},
};

use regex_automata::meta::{Config, Regex};
use regex_syntax::hir::{Hir, HirKind, Look};
use serde::{Serialize, Serializer};

/// A regular expression that must match the *whole* text, as in Envoy. RE2 syntax (what the `regex` crate reads: no
/// look-around, no back-references), matched in linear time. Compares by source.
///
/// That it can be compiled is known from the first; it is compiled when the first text is held against it. Of ten thousand
/// routes a process serves few in its first second, and each expression takes some kilobytes and as long as translating a
/// route.
#[derive(Clone)]
pub struct Pattern(Arc<Compiled>);

struct Compiled {
    source: Box<str>,
    /// `None` inside: cannot be, for the source has been looked at; nothing would match.
    regex: OnceLock<Option<Regex>>,
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

/// An expression of so few states is far from [`SIZE_LIMIT`], of which a state takes a hundredth of a thousandth.
const FEW_STATES: usize = 1 << 10;

/// Expressions that somebody holds: a reload makes nearly all of them again.
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
    /// Reads an expression, unless the same is in use somewhere. Fails on syntax outside RE2 and on expressions that
    /// compile to over 1 MiB.
    pub fn new(source: &str) -> Result<Self, PatternError> {
        let in_use = || IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = in_use().find(source) {
            return Ok(Self(compiled));
        }
        can_be_compiled(source).map_err(|reason| PatternError { pattern: source.to_owned(), reason })?;
        let compiled = Arc::new(Compiled { source: source.into(), regex: OnceLock::new() });
        in_use().add(&compiled);
        Ok(Self(compiled))
    }

    /// The expression as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.0.source
    }

    /// True if the whole text matches.
    pub fn is_match(&self, text: &[u8]) -> bool {
        let regex = self.0.regex.get_or_init(|| whole(self.as_str()).and_then(|hir| compile(&hir)).ok());
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }

    /// True if the expression starts at `^` and is not closed by `$` or `.*`: most often the author meant
    /// "starts with", which is not what a whole match does.
    pub fn looks_like_prefix(&self) -> bool {
        let source = self.as_str();
        source.starts_with('^') && !source.ends_with('$') && !source.ends_with(".*")
    }
}

/// Looks at the size where it is not small for sure. What is built for that is thrown away.
fn can_be_compiled(source: &str) -> Result<(), String> {
    let hir = whole(source)?;
    if most_states(&hir) <= FEW_STATES { Ok(()) } else { compile(&hir).map(drop) }
}

/// The expression, read on its own (`a)(b` is well-formed only inside somebody's group), between both ends of the text.
fn whole(source: &str) -> Result<Hir, String> {
    let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
    let hir = parser.parse(source).map_err(|error| reason(&error))?;
    Ok(Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]))
}

fn compile(hir: &Hir) -> Result<Regex, String> {
    // Tables for every state would be built ahead for each expression, at twenty times the price of all the rest. Whether
    // they are by default hangs on what other crates ask of this one.
    let config = Config::new().dfa(false).utf8_empty(false).nfa_size_limit(Some(SIZE_LIMIT));
    Regex::builder().configure(config).build_from_hir(hir).map_err(|error| match error.size_limit() {
        Some(limit) => format!("compiled regex exceeds size limit of {limit} bytes"),
        None => reason(&error),
    })
}

/// No more states than this come of an expression: a class of Unicode has up to eight for each of its ranges.
fn most_states(hir: &Hir) -> usize {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len(),
        HirKind::Class(regex_syntax::hir::Class::Bytes(class)) => 1 + class.ranges().len(),
        HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
            let of = |end: char| if end.is_ascii() { 1 } else { 32 };
            1 + class.ranges().iter().map(|range| of(range.end())).sum::<usize>()
        }
        HirKind::Repetition(repetition) => {
            let times = repetition.max.unwrap_or(repetition.min.saturating_add(1)).max(1);
            most_states(&repetition.sub).saturating_add(2).saturating_mul(times as usize)
        }
        HirKind::Capture(capture) => most_states(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(most_states).fold(1, usize::saturating_add)
        }
    }
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

    /// What was said to be compilable is: nothing that is small for sure is refused for its size.
    #[test]
    fn whatever_is_taken_can_be_compiled() {
        let classes = [r"\w", r"\pL", ".", "[^/]", "a", "(?i)ß", r"\b"];
        for class in classes {
            for times in ["", "*", "{3}", "{20}", "{40}", "{100}", "{999}", "{20}{20}"] {
                let source = format!("(?:{class}){times}");
                let compiled = compile(&whole(&source).unwrap());
                assert_eq!(Pattern::new(&source).is_ok(), compiled.is_ok(), "{source}: {compiled:?}");
            }
        }
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
