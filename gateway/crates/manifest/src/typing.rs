//! The only place that knows serde_yaml: raw trees to typed specs.

use serde::de::DeserializeOwned;
use serde_yaml::{Mapping, Number, Value as Yaml};

use crate::node::{Entry, Node, Scalar, Value};

/// What typing refuses after the schema has passed: formats that only a parser knows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TypingError {
    /// Below the value that was typed; empty for the value itself.
    pub(crate) path: String,
    pub(crate) message: String,
}

/// Types a value. Keys with null are left out, as the API does. Says as many of the mistakes as it can tell
/// apart, at least one.
pub(crate) fn typed<T: DeserializeOwned>(entries: &[Entry]) -> Result<T, Vec<TypingError>> {
    let value = mapping(entries);
    T::deserialize(&value).map_err(|error| {
        let errors = located::<T>(value);
        let whole = || vec![TypingError { path: String::new(), message: error.to_string() }];
        if errors.is_empty() { whole() } else { errors }
    })
}

/// Mistakes of one object that are looked for.
const MAX_ERRORS: usize = 8;

/// serde_yaml knows the path of an error only when it reads text, so a refused value is read again from a text
/// of its own. Its places mean nothing; its path does, as far as the parent of what is wrong. What is wrong is
/// the child without which the error is another one; without it, the next error shows.
fn located<T: DeserializeOwned>(mut value: Yaml) -> Vec<TypingError> {
    let mut errors = Vec::new();
    while errors.len() < MAX_ERRORS
        && let Some(TypingError { path, message }) = reread::<T>(&value)
    {
        if !errors.is_empty() && message.starts_with("missing field") {
            break;
        }
        let steps = steps_of(&path);
        let known = TypingError { path, message };
        let culprit = children(&value, &steps).into_iter().find(|child| {
            let mut without = value.clone();
            remove(&mut without, &steps, child);
            reread::<T>(&without).as_ref() != Some(&known)
        });
        let TypingError { path, message } = known;
        match culprit {
            Some(child @ Step::Key(_)) => {
                remove(&mut value, &steps, &child);
                errors.push(TypingError { path: child.below(&path), message });
            }
            // Without this item the later ones have other numbers, so that it ends here.
            Some(child @ Step::Index(_)) => {
                errors.push(TypingError { path: child.below(&path), message });
                break;
            }
            None => {
                errors.push(TypingError { path, message });
                break;
            }
        }
    }
    errors
}

fn reread<T: DeserializeOwned>(value: &Yaml) -> Option<TypingError> {
    let text = serde_yaml::to_string(value).ok()?;
    let error = serde_yaml::from_str::<T>(&text).err()?;
    let mut message = error.to_string();
    if let Some(end) = error.location().and_then(|_| message.rfind(" at line ")) {
        message.truncate(end);
    }
    match message.split_once(": ") {
        Some((path, rest)) if is_path(path) => {
            Some(TypingError { path: path.to_owned(), message: rest.to_owned() })
        }
        _ => Some(TypingError { path: String::new(), message }),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

impl Step {
    fn below(&self, path: &str) -> String {
        match self {
            Self::Key(key) if path.is_empty() => key.clone(),
            Self::Key(key) => format!("{path}.{key}"),
            Self::Index(index) => format!("{path}[{index}]"),
        }
    }
}

fn steps_of(path: &str) -> Vec<Step> {
    path.split(['.', '['])
        .filter(|step| !step.is_empty())
        .map(|step| match step.strip_suffix(']').and_then(|index| index.parse().ok()) {
            Some(index) => Step::Index(index),
            None => Step::Key(step.to_owned()),
        })
        .collect()
}

fn at<'a>(value: &'a mut Yaml, steps: &[Step]) -> Option<&'a mut Yaml> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get_mut(key.as_str()),
        Step::Index(index) => value.get_mut(*index),
    })
}

/// The scalars directly below a value; of many, the first.
fn children(value: &Yaml, steps: &[Step]) -> Vec<Step> {
    let mut value = value.clone();
    let scalar = |value: &Yaml| !value.is_mapping() && !value.is_sequence();
    let children: Vec<Step> = match at(&mut value, steps) {
        Some(Yaml::Mapping(mapping)) => {
            let scalars = mapping.iter().filter(|(_, value)| scalar(value));
            scalars.filter_map(|(key, _)| key.as_str()).map(|key| Step::Key(key.to_owned())).collect()
        }
        Some(Yaml::Sequence(items)) => items
            .iter()
            .enumerate()
            .filter(|(_, item)| scalar(item))
            .map(|(index, _)| Step::Index(index))
            .collect(),
        _ => Vec::new(),
    };
    children.into_iter().take(64).collect()
}

fn remove(value: &mut Yaml, steps: &[Step], child: &Step) {
    match (at(value, steps), child) {
        (Some(Yaml::Mapping(mapping)), Step::Key(key)) => drop(mapping.remove(key.as_str())),
        (Some(Yaml::Sequence(items)), Step::Index(index)) if *index < items.len() => {
            drop(items.remove(*index))
        }
        _ => {}
    }
}

fn is_path(text: &str) -> bool {
    !text.contains([' ', '`']) && text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn mapping(entries: &[Entry]) -> Yaml {
    let mut mapping = Mapping::with_capacity(entries.len());
    for entry in entries.iter().filter(|entry| !entry.node.is_null()) {
        mapping.insert(Yaml::String(entry.key.to_string()), value(&entry.node));
    }
    Yaml::Mapping(mapping)
}

fn value(node: &Node) -> Yaml {
    match &node.value {
        Value::Mapping(entries) => mapping(entries),
        Value::Sequence(items) => Yaml::Sequence(items.iter().map(value).collect()),
        Value::Scalar(Scalar::Null, _) => Yaml::Null,
        Value::Scalar(Scalar::Bool, text) => Yaml::Bool(text.eq_ignore_ascii_case("true")),
        Value::Scalar(Scalar::Integer | Scalar::Float, text) => {
            number(text).map_or_else(|| Yaml::String(text.to_string()), Yaml::Number)
        }
        Value::Scalar(Scalar::PlainText | Scalar::Text, text) => Yaml::String(text.to_string()),
    }
}

fn number(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    let radix =
        [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find(|(prefix, _)| unsigned.starts_with(prefix));
    let (digits, radix) = radix.map_or((unsigned, 10), |(_, radix)| (&unsigned[2..], radix));
    match u64::from_str_radix(digits, radix) {
        Ok(n) if negative => 0_i64.checked_sub_unsigned(n).map(Number::from),
        Ok(n) => Some(Number::from(n)),
        Err(_) => {
            let float = match unsigned {
                ".inf" | ".Inf" | ".INF" => f64::INFINITY,
                ".nan" | ".NaN" | ".NAN" => f64::NAN,
                _ => unsigned.parse().ok()?,
            };
            Some(Number::from(if negative { -float } else { float }))
        }
    }
}

/// A tree as JSON text, for the state that outlives the process. Keys with null, and the top-level keys
/// named, are left out.
pub(crate) fn json(document: &Node, without: &[&str]) -> String {
    let kept: Vec<Entry> =
        document.entries().iter().filter(|entry| !without.contains(&&*entry.key)).cloned().collect();
    serde_json::to_string(&mapping(&kept)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kind, yaml};

    #[test]
    fn says_where_a_value_does_not_parse() {
        let text = "hostnames: [a.example, '']\nrules:\n- timeouts: {request: 1s}\n\
                    - timeouts: {request: 1.5s, backendRequest: x}\n";
        let document = yaml::read(text.as_bytes()).unwrap().remove(0);
        let errors = typed::<kind::HttpRoute>(&document.entries()[1..]).unwrap_err();
        let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
        assert_eq!(paths, ["rules[1].timeouts.request", "rules[1].timeouts.backendRequest"]);
        assert!(errors[0].message.contains("`1.5s` is not a duration"), "{}", errors[0].message);
        let errors = typed::<kind::HttpRoute>(document.entries()).unwrap_err();
        assert_eq!(errors[0].path, "hostnames[1]");
    }

    #[test]
    fn types_numbers_of_every_spelling() {
        for (text, expected) in [("0x10", 16_i64), ("-5", -5), ("+7", 7), ("0b11", 3), ("0o17", 15)] {
            assert_eq!(number(text).and_then(|n| n.as_i64()), Some(expected), "{text}");
        }
        assert_eq!(number("1e3").and_then(|n| n.as_f64()), Some(1000.0));
        assert_eq!(number("18446744073709551615").and_then(|n| n.as_u64()), Some(u64::MAX));
    }
}
