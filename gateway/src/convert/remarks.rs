use manifest::{Diagnostic, Origin, Severity};

use super::spot::Spot;

/// What there is to say of a conversion.
#[derive(Debug, Default)]
pub(super) struct Remarks(Vec<Diagnostic>);

impl Remarks {
    /// Something has no counterpart: what it asked for is not in the result.
    pub(super) fn lost(&mut self, at: &Spot<'_>, message: impl Into<String>) {
        self.say(Severity::Error, at, "NotConverted", message);
    }

    /// The result means something else, or something has to be done beside it.
    pub(super) fn differs(&mut self, at: &Spot<'_>, message: impl Into<String>) {
        self.say(Severity::Warning, at, "Differs", message);
    }

    /// An old form that was read all the same.
    pub(super) fn old_form(&mut self, at: &Spot<'_>, message: impl Into<String>) {
        self.say(Severity::Warning, at, "OldForm", message);
    }

    /// Worth knowing.
    pub(super) fn note(&mut self, at: &Spot<'_>, message: impl Into<String>) {
        self.say(Severity::Note, at, "Note", message);
    }

    /// A diagnostic of somebody else's.
    pub(super) fn add(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// All of it by file and place; what was said twice stands once.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.0.sort_by(|a, b| (&a.origin, &a.field_path).cmp(&(&b.origin, &b.field_path)));
        self.0.dedup();
        self.0
    }

    fn say(&mut self, severity: Severity, at: &Spot<'_>, reason: &'static str, message: impl Into<String>) {
        self.0.push(Diagnostic {
            severity,
            origin: Origin { file: at.object.file.clone(), position: Some(at.position()) },
            object: Some(at.object.id.clone()),
            field_path: at.path.clone(),
            reason,
            message: message.into(),
        });
    }
}
