use serde::Serialize;

use super::Reason;

/// One condition of an object, listener, parent or ancestor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Condition {
    pub(crate) kind: ConditionType,
    pub(crate) holds: bool,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// What a condition is about; the text is the constant of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum ConditionType {
    Accepted,
    Stale,
    Programmed,
    ResolvedRefs,
    Conflicted,
    OverlappingTLSConfig,
    InsecureFrontendValidationMode,
    PartiallyInvalid,
    BackendsAvailable,
    Overridden,
    Warning,
}

impl Condition {
    pub(crate) fn new(
        kind: ConditionType,
        holds: bool,
        reason: impl Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, holds, reason: reason.text(), message: message.into() }
    }
}

/// Adds a Warning that lists what is set and not served, and whatever else the user should know.
pub(crate) fn with_warning(
    conditions: &mut Vec<Condition>,
    unserved: &[(String, String)],
    reason: impl Reason,
    more: &[String],
) {
    let fields = unserved.iter().map(|(path, why)| format!("{path} is not served: {why}."));
    let lines: Vec<String> = fields.chain(more.iter().cloned()).collect();
    if !lines.is_empty() {
        conditions.push(Condition::new(ConditionType::Warning, true, reason, lines.join(" ")));
    }
}
