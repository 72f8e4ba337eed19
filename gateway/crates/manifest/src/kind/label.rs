use std::collections::BTreeMap;

use super::FieldError;

/// Most bytes of a label's value, and of a key behind its prefix.
const LONGEST_NAME: usize = 63;
/// Most bytes of a key's prefix.
const LONGEST_PREFIX: usize = 252;
/// Most bytes of an annotation's value where Gateway API has annotations in a spec.
const LONGEST_ANNOTATION: usize = 4096;

/// Holds labels of a spec to the rules of Kubernetes.
pub(super) fn check_labels(path: &str, labels: &BTreeMap<String, String>, errors: &mut Vec<FieldError>) {
    check_keys(path, labels, errors);
    for (key, value) in labels.iter().filter(|(_, value)| !value.is_empty() && !is_name(value)) {
        let message = format!("`{value}`, the value of `{key}`, is no label's: {NAME}");
        errors.push(FieldError::new(path, message));
    }
}

/// Likewise, annotations.
pub(super) fn check_annotations(path: &str, all: &BTreeMap<String, String>, errors: &mut Vec<FieldError>) {
    check_keys(path, all, errors);
    for (key, value) in all.iter().filter(|(_, value)| value.len() > LONGEST_ANNOTATION) {
        let message = format!("the value of `{key}` has {} bytes, expected at most 4096", value.len());
        errors.push(FieldError::new(path, message));
    }
}

const NAME: &str = "expected at most 63 letters, digits, `-`, `_` and `.`, a letter or digit first and last";

fn check_keys(path: &str, map: &BTreeMap<String, String>, errors: &mut Vec<FieldError>) {
    let is_key = |key: &str| match key.split_once('/') {
        Some((prefix, name)) => is_prefix(prefix) && is_name(name),
        None => is_name(key),
    };
    for key in map.keys().filter(|key| !is_key(key)) {
        let message = format!("`{key}` is no key: {NAME}, behind a DNS name and `/` if there is one");
        errors.push(FieldError::new(path, message));
    }
}

fn is_name(text: &str) -> bool {
    let ends = |end: Option<char>| end.is_some_and(|end| end.is_ascii_alphanumeric());
    text.len() <= LONGEST_NAME
        && ends(text.chars().next())
        && ends(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn is_prefix(text: &str) -> bool {
    let is_label = |label: &str| {
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        label.starts_with(lower) && label.ends_with(lower) && label.chars().all(|c| lower(c) || c == '-')
    };
    text.len() <= LONGEST_PREFIX && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_those_of_kubernetes() {
        for good in ["a", "A.b_c-9", "example.com/a", "a.b-c.d/X"] {
            let mut errors = Vec::new();
            check_labels("spec", &BTreeMap::from([(good.to_owned(), "A.b_9".to_owned())]), &mut errors);
            assert_eq!(errors, [], "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "a b", "/a", "a/", "Example.com/a", "a..b/c", "a/b/c", &long] {
            let mut errors = Vec::new();
            check_annotations("spec", &BTreeMap::from([(bad.to_owned(), String::new())]), &mut errors);
            assert_eq!(errors.len(), 1, "{bad}");
        }
        for bad in ["-a", "a b", &long] {
            let mut errors = Vec::new();
            check_labels("spec", &BTreeMap::from([("a".to_owned(), bad.to_owned())]), &mut errors);
            assert_eq!(errors.len(), 1, "{bad}");
        }
    }
}
