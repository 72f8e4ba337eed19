use std::collections::HashMap;

use saphyr_parser::{Event, ScalarStyle, Tag};

use super::FileError;
use crate::{
    Position,
    node::{Entry, Node, Scalar, Value},
};

/// Builds trees from events. The events are counted before they come here.
#[derive(Default)]
pub(super) struct Builder {
    pub(super) documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
}

struct Open {
    position: Position,
    anchor: usize,
    parts: Parts,
}

enum Parts {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, key: Option<Key>, merged: Vec<Node> },
}

struct Key {
    text: Box<str>,
    position: Position,
    /// A plain `<<`.
    merge: bool,
}

impl Builder {
    pub(super) fn take(&mut self, event: Event<'_>, position: Position) -> Result<(), FileError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = scalar(&text, style, tag.as_deref(), position)?;
                let node = Node { position, value: Value::Scalar(scalar, text.into()) };
                self.close(node, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                known_tag(tag.as_deref(), "seq", position)?;
                self.open.push(Open { position, anchor, parts: Parts::Sequence(Vec::new()) });
                Ok(())
            }
            Event::MappingStart(anchor, tag) => {
                known_tag(tag.as_deref(), "map", position)?;
                let parts = Parts::Mapping { entries: Vec::new(), key: None, merged: Vec::new() };
                self.open.push(Open { position, anchor, parts });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { position, anchor, parts }) = self.open.pop() else { return Ok(()) };
                let value = match parts {
                    Parts::Sequence(items) => Value::Sequence(items),
                    Parts::Mapping { entries, merged, .. } => Value::Mapping(merge(entries, merged)?),
                };
                self.close(Node { position, value }, anchor)
            }
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some(node) => {
                    let node = node.clone();
                    self.close(node, 0)
                }
                None => Err(FileError::new(Some(position), "InvalidSyntax", "unknown alias")),
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    /// Puts a finished node where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), FileError> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.parts) {
            None if node.is_null() => {}
            None => self.documents.push(node),
            Some(Parts::Sequence(items)) => items.push(node),
            Some(Parts::Mapping { entries, key, merged }) => match key.take() {
                None => *key = Some(as_key(node)?),
                Some(key) if key.merge => merged.push(node),
                Some(Key { text, position, .. }) => entries.push(Entry { key: text, position, node }),
            },
        }
        Ok(())
    }
}

fn as_key(node: Node) -> Result<Key, FileError> {
    match node.value {
        Value::Scalar(scalar, text) => {
            let merge = scalar == Scalar::PlainText && &*text == "<<";
            Ok(Key { text, position: node.position, merge })
        }
        Value::Sequence(_) | Value::Mapping(_) => {
            let message = "a key is text here, not a list or mapping";
            Err(FileError::new(Some(node.position), "InvalidSyntax", message))
        }
    }
}

/// `<<` of YAML 1.1: what a mapping does not say itself is taken from the mappings named, the first that has it.
fn merge(mut entries: Vec<Entry>, merged: Vec<Node>) -> Result<Vec<Entry>, FileError> {
    for node in merged {
        let position = node.position;
        let sources = match node.value {
            Value::Sequence(items) => items,
            value => vec![Node { position, value }],
        };
        for source in sources {
            let Value::Mapping(source_entries) = source.value else {
                let message = "`<<` takes a mapping or a list of mappings";
                return Err(FileError::new(Some(source.position), "InvalidSyntax", message));
            };
            let said: std::collections::HashSet<Box<str>> =
                entries.iter().map(|entry| entry.key.clone()).collect();
            entries.extend(source_entries.into_iter().filter(|entry| !said.contains(&entry.key)));
        }
    }
    Ok(entries)
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    position: Position,
) -> Result<Scalar, FileError> {
    let Some(tag) = tag else {
        return Ok(if style == ScalarStyle::Plain { Scalar::of_plain(text) } else { Scalar::Text });
    };
    let found = Scalar::of_plain(text);
    let expected = match core_name(tag) {
        Some("str") => return Ok(Scalar::Text),
        Some("null") => Scalar::Null,
        Some("bool") => Scalar::Bool,
        Some("int") => Scalar::Integer,
        Some("float") if matches!(found, Scalar::Integer | Scalar::Float) => return Ok(Scalar::Float),
        Some("float") => Scalar::Float,
        _ => return Err(unknown_tag(tag, position)),
    };
    if found == expected {
        return Ok(found);
    }
    let message =
        format!("`{}` is not what the tag {}{} says", crate::node::shorten(text), tag.handle, tag.suffix);
    Err(FileError::new(Some(position), "InvalidSyntax", message))
}

fn known_tag(tag: Option<&Tag>, name: &str, position: Position) -> Result<(), FileError> {
    match tag {
        Some(tag) if core_name(tag) != Some(name) => Err(unknown_tag(tag, position)),
        _ => Ok(()),
    }
}

fn core_name(tag: &Tag) -> Option<&str> {
    let is_core = tag.handle == "!!" || tag.handle == "tag:yaml.org,2002:";
    is_core.then_some(&*tag.suffix).or_else(|| tag.suffix.strip_prefix("tag:yaml.org,2002:"))
}

fn unknown_tag(tag: &Tag, position: Position) -> FileError {
    let message = format!("the tag {}{} means nothing in a manifest", tag.handle, tag.suffix);
    FileError::new(Some(position), "InvalidSyntax", message)
}
