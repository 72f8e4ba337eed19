use manifest::Severity;
use serde_json::Value;

/// Something in a status that is not as its author wished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Complaint {
    /// `listeners[http]`, `parents[eg]`; empty for the object itself.
    pub(super) place: String,
    /// `Accepted`.
    pub(super) kind: String,
    /// `True`, `False`, `Unknown`.
    pub(super) status: String,
    /// CamelCase.
    pub(super) reason: String,
    /// For people.
    pub(super) message: String,
    /// An error keeps the object, or a part of it, from being served as written; a note is as its author meant it.
    pub(super) severity: Severity,
}

/// Conditions where `True` is the bad news.
const NEGATIVE: [&str; 6] =
    ["Conflicted", "OverlappingTLSConfig", "PartiallyInvalid", "Overridden", "Stale", "Warning"];

fn severity(kind: &str) -> Severity {
    match kind {
        "Overridden" => Severity::Note,
        "OverlappingTLSConfig" | "Stale" | "Warning" => Severity::Warning,
        _ => Severity::Error,
    }
}

/// Every condition below a status that is not fine, in its order.
pub(super) fn complaints(status: &Value) -> Vec<Complaint> {
    let mut all = Vec::new();
    collect(status, "", &mut all);
    all
}

/// A line per condition, for `status`: `Accepted=True`.
pub(super) fn summary(status: &Value) -> String {
    let mut parts = Vec::new();
    for condition in status.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        parts.push(format!("{}={}", text(condition, "type"), text(condition, "status")));
    }
    for list in ["parents", "ancestors"] {
        for element in status.get(list).and_then(Value::as_array).into_iter().flatten() {
            let inner = summary(element);
            if !inner.is_empty() {
                parts.push(format!("{}: {inner}", name(element)));
            }
        }
    }
    parts.join(" ")
}

fn collect(value: &Value, place: &str, all: &mut Vec<Complaint>) {
    let Value::Object(object) = value else { return };
    for (key, value) in object {
        let Value::Array(elements) = value else { continue };
        for element in elements {
            if key == "conditions" {
                all.extend(complaint(element, place));
            } else {
                let inner = format!("{key}[{}]", name(element));
                let place = if place.is_empty() { inner } else { format!("{place}.{inner}") };
                collect(element, &place, all);
            }
        }
    }
}

fn complaint(condition: &Value, place: &str) -> Option<Complaint> {
    let [kind, status, reason, message] =
        ["type", "status", "reason", "message"].map(|key| text(condition, key));
    let negative = NEGATIVE.contains(&kind);
    let fine = if negative { "False" } else { "True" };
    // A condition that we do not know may be either way; only what says False by name is complained of.
    (status != fine).then(|| Complaint {
        place: place.to_owned(),
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        severity: severity(kind),
    })
}

fn name(element: &Value) -> String {
    let reference = element.get("parentRef").or_else(|| element.get("ancestorRef")).unwrap_or(element);
    let section = reference.get("sectionName").and_then(Value::as_str).map(|section| format!("/{section}"));
    format!("{}{}", text(reference, "name"), section.unwrap_or_default())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_not_fine_is_complained_of() {
        let status = json!({
            "conditions": [{"type": "Accepted", "status": "True"}, {"type": "Warning", "status": "True"},
                {"type": "Overridden", "status": "True"}],
            "listeners": [{"name": "http", "conditions": [
                {"type": "Conflicted", "status": "False"},
                {"type": "Programmed", "status": "False", "reason": "Invalid", "message": "why"}]}]});
        let found = complaints(&status);
        let short: Vec<_> = found.iter().map(|found| (&*found.place, &*found.kind, found.severity)).collect();
        let expected = [
            ("", "Warning", Severity::Warning),
            ("", "Overridden", Severity::Note),
            ("listeners[http]", "Programmed", Severity::Error),
        ];
        assert_eq!(short, expected);
        assert_eq!(summary(&status), "Accepted=True Warning=True Overridden=True");
    }
}
