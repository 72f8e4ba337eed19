use manifest::{Diagnostic, Object, Severity};

/// Diagnostics as they are found, each with the place of the field that it is about.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Diagnostic>);

impl Report {
    pub(crate) fn add<T>(
        &mut self,
        severity: Severity,
        object: &Object<T>,
        path: &str,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        self.0.push(Diagnostic {
            severity,
            origin: object.field_origin(path),
            object: Some(object.id.clone()),
            field_path: path.to_owned(),
            reason,
            message: message.into(),
        });
    }

    /// What was found of something before, and still holds.
    pub(crate) fn repeat(&mut self, said: &[Diagnostic]) {
        self.0.extend_from_slice(said);
    }

    /// How many there are: a place for [`Report::since`].
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// What was found since there were so many.
    pub(crate) fn since(&self, count: usize) -> &[Diagnostic] {
        self.0.get(count..).unwrap_or_default()
    }

    /// With those that were there before, sorted by file and place.
    pub(crate) fn finish(self, mut before: Vec<Diagnostic>) -> Vec<Diagnostic> {
        before.extend(self.0);
        before.sort_by(|a, b| (&a.origin, a).cmp(&(&b.origin, b)));
        before.dedup();
        before
    }
}

/// A condition's sentence as a diagnostic's message: without its capital and its full stop. Names of kinds keep
/// their capitals.
pub(crate) fn line(sentence: &str) -> String {
    const OPENINGS: [&str; 10] = [
        "A ",
        "No ",
        "There ",
        "The ",
        "Addresses ",
        "Port ",
        "Protocol ",
        "Routes ",
        "Unable ",
        "Listeners ",
    ];
    let text = sentence.strip_suffix('.').unwrap_or(sentence);
    let plain = OPENINGS.into_iter().any(|opening| text.starts_with(opening));
    if plain { text[..1].to_lowercase() + &text[1..] } else { text.to_owned() }
}

/// Ends a sentence that may end in a hint with a question mark of its own.
pub(crate) fn ended(sentence: String) -> String {
    if sentence.ends_with(['.', '?']) { sentence } else { sentence + "." }
}
