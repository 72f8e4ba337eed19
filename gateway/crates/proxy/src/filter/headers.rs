use http::{HeaderMap, HeaderName, HeaderValue};
use ir::HeaderModifier;

/// The edits of one HeaderModifier: set, then add, then remove. Source: Gateway API `HTTPHeaderFilter`.
#[derive(Debug, Default)]
pub(super) struct HeaderEdits {
    set: Box<[(HeaderName, HeaderValue)]>,
    add: Box<[(HeaderName, HeaderValue)]>,
    remove: Box<[HeaderName]>,
}

impl HeaderEdits {
    /// Compiles them.
    pub(super) fn compile(modifier: &HeaderModifier) -> Self {
        let HeaderModifier { set, add, remove } = modifier;
        Self {
            set: fields(set),
            add: fields(add),
            remove: remove.iter().filter_map(|text| name(text)).collect(),
        }
    }

    /// Edits a header.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
        for name in &self.remove {
            headers.remove(name);
        }
    }
}

/// `translate` refuses names and values that are none; should one get here, it is left out.
fn fields(edits: &[ir::HeaderEdit]) -> Box<[(HeaderName, HeaderValue)]> {
    let mut fields: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(edits.len());
    for edit in edits {
        let (Some(name), Ok(value)) = (name(&edit.name), edit.value.parse()) else { continue };
        if fields.iter().all(|(present, _)| *present != name) {
            fields.push((name, value));
        }
    }
    fields.into()
}

fn name(text: &str) -> Option<HeaderName> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(pairs: &[(&str, &str)]) -> Vec<ir::HeaderEdit> {
        let edit =
            |(name, value): &(&str, &str)| ir::HeaderEdit { name: (*name).into(), value: (*value).into() };
        pairs.iter().map(edit).collect()
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut lines: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    #[test]
    fn sets_adds_and_removes_in_that_order() {
        let modifier = HeaderModifier {
            set: edits(&[("X-Set", "new"), ("x-fresh", "1")]),
            add: edits(&[("x-add", "second"), ("x-gone", "too")]),
            remove: vec!["X-Gone".into()],
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-set", "old"), ("x-set", "older"), ("x-add", "first"), ("x-gone", "here")] {
            headers.append(name, HeaderValue::from_static(value));
        }
        HeaderEdits::compile(&modifier).apply(&mut headers);
        assert_eq!(lines(&headers), ["x-add: first", "x-add: second", "x-fresh: 1", "x-set: new"]);
    }

    #[test]
    fn a_repeated_name_keeps_its_first_entry_and_nonsense_is_left_out() {
        let modifier = HeaderModifier {
            set: edits(&[("a", "1"), ("A", "2"), ("not a name", "3"), ("b", "line\r\nbreak")]),
            add: Vec::new(),
            remove: vec![String::new()],
        };
        let mut headers = HeaderMap::new();
        HeaderEdits::compile(&modifier).apply(&mut headers);
        assert_eq!(lines(&headers), ["a: 1"]);
    }
}
