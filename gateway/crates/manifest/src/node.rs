use crate::Position;

/// One value of a document with the place where it stands: the raw tree that everything else reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub(crate) position: Position,
    pub(crate) value: Value,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Scalar(Scalar, Box<str>),
    Sequence(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// One key and its value. Keys may stand twice: the checks say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(crate) key: Box<str>,
    pub(crate) position: Position,
    pub(crate) node: Node,
}

/// How YAML 1.2's core schema reads a scalar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scalar {
    Null,
    Bool,
    Integer,
    Float,
    /// Not quoted, and none of the above.
    PlainText,
    /// Quoted, a block, or tagged as text.
    Text,
}

impl Node {
    /// The value of a key, unless it is null: the API treats null as absent.
    pub fn field(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The entry of a key, unless its value is null.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key == key).filter(|entry| !entry.node.is_null())
    }

    /// The entries of a mapping; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Mapping(entries) => entries,
            Value::Sequence(_) | Value::Scalar(..) => &[],
        }
    }

    /// The text, if this is text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar::PlainText | Scalar::Text, text) => Some(text),
            _ => None,
        }
    }

    /// The text of any scalar, as it is written.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(Scalar::Null, _) | Value::Sequence(_) | Value::Mapping(_) => None,
            Value::Scalar(_, text) => Some(text),
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Sequence(items) => items,
            Value::Mapping(_) | Value::Scalar(..) => &[],
        }
    }

    /// Where it stands.
    pub const fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Scalar(Scalar::Null, _))
    }

    /// The value at a path such as `spec.rules[0].name`.
    pub(crate) fn at(&self, path: &str) -> Option<&Node> {
        if path.is_empty() {
            return Some(self);
        }
        let (child, _, rest) = self.descend(path)?;
        child.at(rest)
    }

    /// The place of the value at a path such as `spec.rules[0].name`, or of the nearest parent there is.
    pub(crate) fn nearest(&self, path: &str) -> Position {
        self.descend(path).map_or(self.position, |(child, place, rest)| {
            if rest.is_empty() { place } else { child.nearest_below(rest, place) }
        })
    }

    fn nearest_below(&self, path: &str, own: Position) -> Position {
        self.descend(path).map_or(
            own,
            |(child, place, rest)| {
                if rest.is_empty() { place } else { child.nearest_below(rest, place) }
            },
        )
    }

    /// One step down a path. Keys may hold dots (labels): the longest key that fits is taken.
    fn descend<'a>(&self, path: &'a str) -> Option<(&Node, Position, &'a str)> {
        if let Some(rest) = path.strip_prefix('[') {
            let (index, rest) = rest.split_once(']')?;
            let Value::Sequence(items) = &self.value else { return None };
            let item = items.get(index.parse::<usize>().ok()?)?;
            return Some((item, item.position, rest));
        }
        let path = path.strip_prefix('.').unwrap_or(path);
        let fits = |entry: &&Entry| {
            path.strip_prefix(&*entry.key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let entry = self.entries().iter().filter(fits).max_by_key(|entry| entry.key.len())?;
        let place = if entry.node.position.line == entry.position.line || entry.node.is_scalar() {
            entry.node.position
        } else {
            entry.position
        };
        Some((&entry.node, place, &path[entry.key.len()..]))
    }

    fn is_scalar(&self) -> bool {
        matches!(self.value, Value::Scalar(..))
    }

    /// What this is, for messages.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(Scalar::Null, _) => "null".to_owned(),
            Value::Scalar(Scalar::Bool, text) => format!("the boolean {text}"),
            Value::Scalar(Scalar::Integer | Scalar::Float, text) => format!("the number {}", shorten(text)),
            Value::Scalar(Scalar::PlainText | Scalar::Text, text) => format!("the text `{}`", shorten(text)),
            Value::Sequence(_) => "a list".to_owned(),
            Value::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

impl Entry {
    /// The key's text.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Where the key stands.
    pub const fn position(&self) -> Position {
        self.position
    }

    /// Its value.
    pub const fn value(&self) -> &Node {
        &self.node
    }
}

/// The start of a text on one line, for messages.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        short.push_str("...");
    }
    short
}

impl Scalar {
    /// How a scalar that is neither quoted nor tagged is read.
    pub(crate) fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Self::Null,
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => Self::Bool,
            _ if is_integer(text) => Self::Integer,
            _ if is_float(text) => Self::Float,
            _ => Self::PlainText,
        }
    }
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let radix = |prefix: &str, radix: u32| {
        digits
            .strip_prefix(prefix)
            .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
    };
    let decimal = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    decimal || radix("0x", 16) || radix("0o", 8) || radix("0b", 2)
}

fn is_float(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let leading_zero = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && !leading_zero
        && digits.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && digits.parse::<f64>().is_ok_and(f64::is_finite)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_scalars_by_the_core_schema() {
        let cases = [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("True", Scalar::Bool),
            ("yes", Scalar::PlainText),
            ("0", Scalar::Integer),
            ("-12", Scalar::Integer),
            ("0777", Scalar::PlainText),
            ("0o777", Scalar::Integer),
            ("0xfF", Scalar::Integer),
            ("1.5", Scalar::Float),
            ("1e3", Scalar::Float),
            (".inf", Scalar::Float),
            ("1.2.3", Scalar::PlainText),
            ("-", Scalar::PlainText),
            ("1h", Scalar::PlainText),
            ("00.5", Scalar::PlainText),
        ];
        for (text, expected) in cases {
            assert_eq!(Scalar::of_plain(text), expected, "{text}");
        }
    }
}
