use std::collections::{HashMap, HashSet};

use crate::{
    Position,
    kind::SECTION_NAME,
    nearest::did_you_mean,
    node::{Entry, Node, Scalar, Value, shorten},
    shape::{NodeKind, Shape, ShapeId, Shapes},
};

/// One mistake in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) position: Position,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// What the structural check found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<Finding>,
    /// Known fields that are set and not served; the message is the schema's reason.
    pub(crate) unserved: Vec<Finding>,
}

/// Findings of one object beyond this many are left out: nobody reads them.
const MAX_ERRORS: usize = 50;

/// Holds a tree against the shapes of its type.
pub(crate) struct Check<'a> {
    shapes: &'a Shapes,
    /// Whether unknown fields are a mistake.
    strict: bool,
    findings: Findings,
}

impl<'a> Check<'a> {
    pub(crate) fn new(shapes: &'a Shapes, strict: bool) -> Self {
        Self { shapes, strict, findings: Findings::default() }
    }

    /// Checks a tree that stands at `path`.
    pub(crate) fn run(mut self, node: &Node, path: &str) -> Findings {
        self.check(self.shapes.root(), node, path);
        self.findings
    }

    fn check(&mut self, id: ShapeId, node: &Node, path: &str) {
        if self.findings.errors.len() >= MAX_ERRORS {
            return;
        }
        let shapes = self.shapes;
        let shape = shapes.shape(id);
        if let Some(why) = &shape.unserved {
            self.findings.unserved.push(finding(path, node.position, "Unserved", why.clone()));
        }
        if !shape.kinds.is_empty() && !shape.kinds.iter().any(|kind| is(node, *kind)) {
            self.error(
                path,
                node.position,
                "InvalidType",
                wrong_type(node, &shape.kinds) + &self.hint(node, shape),
            );
            return;
        }
        for part in &shape.all_of {
            self.check(*part, node, path);
        }
        if !shape.any_of.is_empty() {
            self.check_any(&shape.any_of, node, path);
        }
        match &node.value {
            Value::Scalar(scalar, text) => self.check_scalar(shape, *scalar, text, node.position, path),
            Value::Sequence(items) => {
                self.check_count(shape, items.len(), "items", node.position, path);
                if let Some(id) = shape.items {
                    for (index, item) in items.iter().enumerate() {
                        self.check(id, item, &format!("{path}[{index}]"));
                    }
                }
            }
            Value::Mapping(entries) => self.check_mapping(shape, entries, node, path),
        }
    }

    /// What a text or number may have been meant as.
    fn hint(&self, node: &Node, shape: &Shape) -> String {
        let Value::Scalar(scalar, text) = &node.value else { return String::new() };
        if shape.kinds.contains(&NodeKind::Text) {
            let unit = shape.format.as_deref() == Some("duration") && *scalar == Scalar::Integer;
            return if unit {
                format!(" (with its unit: {text}s, {text}ms)")
            } else {
                dialect_hint(node, &shape.kinds)
            };
        }
        let names = || shape.properties.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match text.split_once(':') {
            Some((key, value)) if shape.properties.contains_key(key) => format!(" (write `{key}: {value}`)"),
            _ if (1..=6).contains(&shape.properties.len()) => format!(" of {}", names()),
            _ => dialect_hint(node, &shape.kinds),
        }
    }

    fn check_mapping(&mut self, shape: &Shape, entries: &[Entry], node: &Node, path: &str) {
        self.check_count(shape, entries.len(), "keys", node.position, path);
        for Entry { key, position, node } in entries {
            let below = || join(path, key);
            match (shape.properties.get(&**key), shape.additional) {
                (Some(_), _) if node.is_null() => {}
                (Some(id), _) => self.check(*id, node, &below()),
                (None, Some(id)) => self.check(id, node, &below()),
                (None, None) if shape.closed && self.strict => {
                    let message = unknown_field(key, shape.properties.keys().map(String::as_str).collect());
                    self.error(&below(), *position, "UnknownField", message);
                }
                (None, None) => {}
            }
        }
        for name in &shape.required {
            if node.field(name).is_none() {
                self.error(&join(path, name), node.position, "Required", format!("missing field `{name}`"));
            }
        }
    }

    fn check_scalar(&mut self, shape: &Shape, scalar: Scalar, text: &str, position: Position, path: &str) {
        if !shape.values.is_empty() && !shape.values.iter().any(|value| value == text) {
            let values = shape.values.iter().map(String::as_str);
            let list: Vec<String> = values.clone().map(|value| format!("`{value}`")).collect();
            let hint = did_you_mean(text, values);
            let message = format!("found `{}`, expected one of {}{hint}", shorten(text), list.join(", "));
            self.error(path, position, "InvalidValue", message);
        }
        match scalar {
            Scalar::PlainText | Scalar::Text => {
                self.check_count(shape, text.chars().count(), "characters", position, path);
                if let Some(pattern) = shape.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
                    let message = bad_format(text, shape.format.as_deref(), pattern.as_str());
                    self.error(path, position, "InvalidFormat", message);
                }
            }
            Scalar::Integer | Scalar::Float => self.check_range(shape, text, position, path),
            Scalar::Bool | Scalar::Null => {}
        }
    }

    fn check_range(&mut self, shape: &Shape, text: &str, position: Position, path: &str) {
        let Some(number) = number(text) else { return };
        let (least, most) = bounds(shape);
        let message = match (least, most) {
            (Some(least), Some(most)) if number < least || number > most => format!("{least} to {most}"),
            (Some(least), _) if number < least => format!("at least {least}"),
            (_, Some(most)) if number > most => format!("at most {most}"),
            _ => return,
        };
        self.error(path, position, "OutOfRange", format!("found {}, expected {message}", shorten(text)));
    }

    fn check_count(&mut self, shape: &Shape, count: usize, of: &str, position: Position, path: &str) {
        let count = count as u64;
        let message = match (shape.min_count, shape.max_count) {
            (Some(least), _) if count < least => format!("at least {least}"),
            (_, Some(most)) if count > most => format!("at most {most}"),
            _ => return,
        };
        self.error(path, position, "InvalidLength", format!("found {count} {of}, expected {message}"));
    }

    /// One of several shapes must fit; the mistakes shown are those of the one that was probably meant.
    fn check_any(&mut self, branches: &[ShapeId], node: &Node, path: &str) {
        let mut closest: Option<Findings> = None;
        for id in branches {
            let mut check = Check::new(self.shapes, self.strict);
            check.check(*id, node, path);
            let findings = check.findings;
            if findings.errors.is_empty() {
                self.findings.unserved.extend(findings.unserved);
                return;
            }
            let right_type =
                findings.errors.iter().all(|error| error.reason != "InvalidType" || error.path != path);
            if right_type && closest.is_none() {
                closest = Some(findings);
            }
        }
        match closest {
            Some(findings) => self.findings.errors.extend(findings.errors),
            None => {
                let mut kinds = Vec::new();
                for id in branches {
                    kinds.extend(self.kinds(*id));
                }
                let message = wrong_type(node, &kinds) + &dialect_hint(node, &kinds);
                self.error(path, node.position, "InvalidType", message);
            }
        }
    }

    fn kinds(&self, id: ShapeId) -> Vec<NodeKind> {
        let shape = self.shapes.shape(id);
        let included = shape.all_of.iter().flat_map(|id| self.kinds(*id));
        shape.kinds.iter().copied().chain(included).collect()
    }

    fn error(&mut self, path: &str, position: Position, reason: &'static str, message: String) {
        self.findings.errors.push(finding(path, position, reason, message));
    }
}

/// Keys that stand twice in one mapping, anywhere in a tree.
pub(crate) fn duplicate_keys(node: &Node, path: &str, found: &mut Vec<Finding>) {
    match &node.value {
        Value::Scalar(..) => {}
        Value::Sequence(items) => {
            for (index, item) in items.iter().enumerate().filter(|(_, item)| item.text().is_none()) {
                duplicate_keys(item, &format!("{path}[{index}]"), found);
            }
        }
        Value::Mapping(entries) => {
            if has_duplicates(entries) {
                let mut first: HashMap<&str, Position> = HashMap::new();
                for Entry { key, position, .. } in entries {
                    if let Some(Position { line, column }) = first.get(&**key) {
                        let message = format!("`{key}` stands here already at line {line}, column {column}");
                        found.push(finding(&join(path, key), *position, "DuplicateKey", message));
                    } else {
                        first.insert(key, *position);
                    }
                }
            }
            for entry in entries.iter().filter(|entry| !matches!(entry.node.value, Value::Scalar(..))) {
                duplicate_keys(&entry.node, &join(path, &entry.key), found);
            }
        }
    }
}

fn has_duplicates(entries: &[Entry]) -> bool {
    if entries.len() > 16 {
        let mut seen = HashSet::with_capacity(entries.len());
        return entries.iter().any(|entry| !seen.insert(&entry.key));
    }
    entries.iter().enumerate().any(|(i, entry)| entries[..i].iter().any(|earlier| earlier.key == entry.key))
}

pub(crate) fn finding(
    path: &str,
    position: Position,
    reason: &'static str,
    message: impl Into<String>,
) -> Finding {
    Finding { path: path.to_owned(), position, reason, message: message.into() }
}

pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

pub(crate) fn unknown_field(key: &str, mut known: Vec<&str>) -> String {
    known.sort_unstable();
    let hint = did_you_mean(key, known.iter().copied());
    if !hint.is_empty() || known.len() > 12 {
        return format!("unknown field `{}`{hint}", shorten(key));
    }
    let list: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
    let list = if list.is_empty() { "no fields".to_owned() } else { format!("one of {}", list.join(", ")) };
    format!("unknown field `{}`, expected {list}", shorten(key))
}

fn is(node: &Node, kind: NodeKind) -> bool {
    matches!(
        (&node.value, kind),
        (Value::Scalar(Scalar::Bool, _), NodeKind::Boolean)
            | (Value::Scalar(Scalar::Integer, _), NodeKind::Integer | NodeKind::Number)
            | (Value::Scalar(Scalar::Float, _), NodeKind::Number)
            | (Value::Scalar(Scalar::PlainText | Scalar::Text, _), NodeKind::Text)
            | (Value::Sequence(_), NodeKind::List)
            | (Value::Mapping(_), NodeKind::Mapping)
    )
}

fn wrong_type(node: &Node, kinds: &[NodeKind]) -> String {
    let names: Vec<&str> = kinds
        .iter()
        .map(|kind| match kind {
            NodeKind::Boolean => "a boolean",
            NodeKind::Integer => "a whole number",
            NodeKind::Number => "a number",
            NodeKind::Text => "text",
            NodeKind::List => "a list",
            NodeKind::Mapping => "a mapping",
        })
        .collect();
    format!("found {}, expected {}", node.describe(), names.join(" or "))
}

fn bad_format(text: &str, format: Option<&str>, pattern: &str) -> String {
    let text = shorten(text);
    match format {
        Some("duration") => {
            format!("`{text}` is not a duration; expected one like `500ms`, `10s` or `1h30m`")
        }
        Some("quantity") => format!("`{text}` is not a quantity; expected one like `512`, `64Ki` or `1M`"),
        Some("hostname") => {
            format!(
                "`{text}` is not a hostname; expected lower-case labels joined by dots, optionally after `*.`"
            )
        }
        Some(format) => format!("`{text}` is not a {format} ({pattern})"),
        None if pattern == SECTION_NAME => {
            format!("`{text}` is no name; expected lower-case letters, digits, `-` and `.` (RFC 1123)")
        }
        None => format!("`{text}` does not match {pattern}"),
    }
}

/// Where YAML 1.1, which kubectl reads, and YAML 1.2 part ways, and where quotes are missing or too many.
fn dialect_hint(node: &Node, kinds: &[NodeKind]) -> String {
    let Value::Scalar(scalar, text) = &node.value else { return String::new() };
    let wants = |kind| kinds.contains(&kind);
    let wants_number = wants(NodeKind::Integer) || wants(NodeKind::Number);
    match scalar {
        Scalar::PlainText if wants(NodeKind::Boolean) => match yaml_1_1_bool(text) {
            Some(meant) => {
                format!(" (`{text}` is a boolean in YAML 1.1 only, which kubectl reads: write {meant})")
            }
            None => String::new(),
        },
        Scalar::PlainText if wants_number && text.starts_with('0') => match i64::from_str_radix(text, 8) {
            Ok(meant) => format!(" (`{text}` is octal in YAML 1.1 only, which kubectl reads: write {meant})"),
            Err(_) => String::new(),
        },
        Scalar::Text if wants_number && Scalar::of_plain(text) == Scalar::Integer => {
            " (write it without quotes)".to_owned()
        }
        Scalar::Text if wants(NodeKind::Boolean) && Scalar::of_plain(text) == Scalar::Bool => {
            " (write it without quotes)".to_owned()
        }
        Scalar::Bool | Scalar::Integer | Scalar::Float if wants(NodeKind::Text) => {
            format!(" (write it in quotes: \"{}\")", shorten(text))
        }
        _ => String::new(),
    }
}

fn yaml_1_1_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "on" => Some(true),
        "n" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// The value of a number as far as ranges need it.
fn number(text: &str) -> Option<f64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let (sign, digits) = digits.strip_prefix('-').map_or((1.0, digits), |digits| (-1.0, digits));
    let radix = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter().find(|(prefix, _)| digits.starts_with(prefix));
    match radix {
        #[expect(clippy::cast_precision_loss, reason = "ranges in use are far below 2^53")]
        Some((_, radix)) => u64::from_str_radix(&digits[2..], radix).ok().map(|n| sign * n as f64),
        None => digits.parse::<f64>().ok().map(|n| sign * n),
    }
}

/// The range that a shape states, or that its number format has.
fn bounds(shape: &Shape) -> (Option<f64>, Option<f64>) {
    let (least, most) = match shape.format.as_deref() {
        Some("uint8") => (Some(0.0), Some(255.0)),
        Some("uint16") => (Some(0.0), Some(65_535.0)),
        Some("uint32") => (Some(0.0), Some(4_294_967_295.0)),
        Some("int32") => (Some(-2_147_483_648.0), Some(2_147_483_647.0)),
        Some("uint64" | "uint") => (Some(0.0), None),
        _ => (None, None),
    };
    (shape.minimum.or(least), shape.maximum.or(most))
}
