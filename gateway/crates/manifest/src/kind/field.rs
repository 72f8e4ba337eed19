use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, IgnoredAny},
};

/// What a modelled kind says of itself.
pub trait Kind:
    DeserializeOwned + JsonSchema + Clone + fmt::Debug + PartialEq + Send + Sync + 'static
{
    /// `kind`.
    const KIND: &'static str;
    /// The part of `apiVersion` before the slash; empty for the core group.
    const GROUP: &'static str;
    /// The parts of `apiVersion` after the slash that are read, the preferred one first.
    const VERSIONS: &'static [&'static str];
    /// False: cluster-scoped, `metadata.namespace` means nothing.
    const NAMESPACED: bool;
    /// True: a kind of Kubernetes itself, of which we model a part; unknown fields are no mistake.
    const CORE: bool;
    /// True: the type is what stands at `spec`. False: it is the whole document without `apiVersion`, `kind`,
    /// `metadata` and `status`.
    const SPEC: bool = true;

    /// Rules that span several fields, as the CRD states them in CEL, and what no schema can say. Called
    /// once typing has succeeded. Paths are whole, from the document's root (`spec.tls.ciphers`).
    fn check(&self) -> Vec<FieldError> {
        Vec::new()
    }
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldError {
    /// From the document's root: `spec.listeners[1].tls.mode`.
    pub path: String,
    /// What was found and what was expected, lower case.
    pub message: String,
}

impl FieldError {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

/// The schema keyword beside a field that is known and not served; its value says why.
pub const UNSERVED: &str = "x-gateway-unserved";

/// A value of a known field that is not served yet: accepted as it is, reported with its path, never used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unserved;

impl<'de> Deserialize<'de> for Unserved {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|IgnoredAny| Self)
    }
}

impl JsonSchema for Unserved {
    fn schema_name() -> Cow<'static, str> {
        "Unserved".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}
