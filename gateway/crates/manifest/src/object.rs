use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::{Serialize, Serializer};

use crate::{Origin, Position, node::Node};

/// Names an object. Ordered by kind, then group, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// `Gateway`.
    pub kind: Arc<str>,
    /// `gateway.networking.k8s.io`; empty for the core group.
    pub group: Arc<str>,
    /// Empty for cluster-scoped kinds; `default` where the manifest names none.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            write!(f, "{} {}", self.kind, self.name)
        } else {
            write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
        }
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An instant in whole seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Timestamp(pub i64);

/// What `metadata` says that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.creationTimestamp`; where missing, when the object was first seen.
    pub created: Timestamp,
    /// `metadata.generation`; where missing, counted: 1 at first sight, one more with each change of the spec.
    pub generation: i64,
    /// `metadata.uid`, if the manifest has one.
    pub uid: Option<String>,
}

/// One object of a modelled kind.
#[derive(Clone, Debug)]
pub struct Object<T> {
    /// Its name.
    pub id: ObjectId,
    /// Its metadata.
    pub meta: Meta,
    /// The start of its document.
    pub origin: Origin,
    /// The place of each of its fields, by path (`spec.rules[0].name`): for messages about meaning.
    pub positions: Arc<Positions>,
    /// The spec and how far it can be trusted.
    pub spec: SpecState<T>,
    /// Paths below `spec` that are set, known, and not served yet, each with the reason why.
    pub unserved: Vec<(String, String)>,
}

/// How an object's text fared.
#[derive(Clone, Debug)]
pub enum SpecState<T> {
    /// As the file says.
    Good(Arc<T>),
    /// The file's text would have been refused by an API server; this is the last version that was good. The
    /// text says what is wrong with the newest.
    Stale(Arc<T>, String),
    /// Refused, and never was good. The text says why.
    Refused(String),
}

impl<T> SpecState<T> {
    /// The spec that is in force, if there is one.
    pub fn in_force(&self) -> Option<&Arc<T>> {
        match self {
            Self::Good(spec) | Self::Stale(spec, _) => Some(spec),
            Self::Refused(_) => None,
        }
    }
}

/// Field path to place, for one object: the raw tree of its document, walked when a place is asked for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Positions(Option<Arc<Node>>);

/// The tree may be a Secret's: it is not printed.
impl fmt::Debug for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Positions")
    }
}

impl Positions {
    /// The places of a document.
    pub(crate) fn new(document: Arc<Node>) -> Self {
        Self(Some(document))
    }

    /// The place of a field (`spec.rules[0].name`), or of the nearest parent that has one. `None`: the object
    /// did not come from a text.
    pub fn nearest(&self, path: &str) -> Option<Position> {
        self.0.as_ref().map(|root| root.nearest(path))
    }

    /// The text at a path, typed or not: what can still be told of an object that was refused.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.as_ref()?.at(path)?.text()
    }
}

impl<T> Object<T> {
    /// Where a field of this object stands; the object's start if the field is not in the file.
    pub fn field_origin(&self, path: &str) -> Origin {
        let position = self.positions.nearest(path).or(self.origin.position);
        Origin { file: self.origin.file.clone(), position }
    }
}

/// An object without its spec.
pub(crate) struct Head {
    pub(crate) id: ObjectId,
    pub(crate) meta: Meta,
    pub(crate) origin: Origin,
    pub(crate) positions: Arc<Positions>,
    pub(crate) unserved: Vec<(String, String)>,
}
