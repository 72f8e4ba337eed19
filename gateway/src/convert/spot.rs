use manifest::{Position, raw::Node};

use super::object::Object;

/// A value of an object, with the path that leads to it: what a remark is about.
#[derive(Clone, Debug)]
pub(super) struct Spot<'a> {
    pub(super) object: &'a Object<'a>,
    pub(super) node: &'a Node,
    position: Position,
    /// `spec.rules[0].http.paths[1].path`.
    pub(super) path: String,
}

impl<'a> Spot<'a> {
    /// The whole object.
    pub(super) fn root(object: &'a Object<'a>) -> Self {
        Self { object, node: object.node, position: object.node.position(), path: String::new() }
    }

    /// The value of a key, unless it is null or absent.
    pub(super) fn field(&self, key: &str) -> Option<Self> {
        self.node.field(key).map(|node| self.below(key, node, node.position()))
    }

    /// The value at the end of several keys.
    pub(super) fn at(&self, keys: &[&str]) -> Option<Self> {
        keys.iter().try_fold(self.clone(), |spot, key| spot.field(key))
    }

    /// Every key of a mapping with its value; null values are absent.
    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let present = |key: &str| self.node.field(key).is_some();
        let entries = self.node.entries().iter().filter(|entry| present(entry.key()));
        entries.map(|entry| (entry.key(), self.below(entry.key(), entry.value(), entry.position()))).collect()
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> Vec<Self> {
        let item = |(index, node): (usize, &'a Node)| Self {
            object: self.object,
            node,
            position: node.position(),
            path: format!("{}[{index}]", self.path),
        };
        self.node.items().iter().enumerate().map(item).collect()
    }

    /// The items of the list that a key has.
    pub(super) fn list(&self, key: &str) -> Vec<Self> {
        self.field(key).map(|spot| spot.items()).unwrap_or_default()
    }

    /// The texts of a list, or the one text that stands in its place.
    pub(super) fn texts(&self) -> Vec<&'a str> {
        match self.text() {
            Some(text) => vec![text],
            None => self.node.items().iter().filter_map(Node::scalar).collect(),
        }
    }

    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.node.scalar()
    }

    /// The text of the scalar that a key has; empty counts as absent.
    pub(super) fn text_of(&self, key: &str) -> Option<&'a str> {
        self.node.field(key).and_then(Node::scalar).filter(|text| !text.is_empty())
    }

    /// True if a key holds `true`.
    pub(super) fn is_true(&self, key: &str) -> bool {
        self.text_of(key).is_some_and(is_true)
    }

    /// Where it stands.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    fn below(&self, key: &str, node: &'a Node, position: Position) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { object: self.object, node, position, path }
    }
}

/// What counts as true in annotations and YAML 1.1.
pub(super) fn is_true(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}
