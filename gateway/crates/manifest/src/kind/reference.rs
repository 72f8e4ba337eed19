use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{GATEWAY_GROUP, GROUP, KIND, NAMESPACE, SECTION_NAME};

/// Names a Gateway (or one of its listeners) that a route asks to be attached to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentReference {
    /// Group of the parent; by default `gateway.networking.k8s.io`.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: Option<String>,
    /// Kind of the parent; by default `Gateway`.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: Option<String>,
    /// Namespace of the parent; by default the route's.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE))]
    pub namespace: Option<String>,
    /// Name of the parent.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Name of one listener; by default every listener that fits.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECTION_NAME))]
    pub section_name: Option<String>,
    /// Port that a listener must have; by default any.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

impl ParentReference {
    /// The group, with its default.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(GATEWAY_GROUP)
    }

    /// The kind, with its default.
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("Gateway")
    }
}

/// Names a Secret (or what an implementation takes in its place).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretReference {
    /// Group; by default the core group.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: Option<String>,
    /// Kind; by default `Secret`.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: Option<String>,
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace; by default the referring object's. Another one needs a ReferenceGrant.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE))]
    pub namespace: Option<String>,
}

/// Names an object in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalObjectReference {
    /// Group of the object; empty: the core group.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// Kind of the object.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectReference {
    /// Group of the object; empty: the core group.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// Kind of the object.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace; by default the referring object's. Another one needs a ReferenceGrant.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE))]
    pub namespace: Option<String>,
}

/// Names an object of parameters in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalParametersReference {
    /// Group of the object.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// Kind of the object.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Names what a policy is about, in the policy's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PolicyTargetReference {
    /// Group of the target.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// Kind of the target.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: String,
    /// Name of the target.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Name of one section of the target: for a Gateway, a listener.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECTION_NAME))]
    pub section_name: Option<String>,
}

/// Selects objects by their labels: all parts must hold. Empty: every object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels with exactly these values.
    #[serde(default)]
    pub match_labels: BTreeMap<String, String>,
    /// Conditions on labels.
    #[serde(default)]
    pub match_expressions: Vec<LabelRequirement>,
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// The condition.
    pub operator: SelectorOperator,
    /// Values for `In` and `NotIn`.
    #[serde(default)]
    pub values: Vec<String>,
}

/// A condition on a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SelectorOperator {
    /// Present, with one of the values.
    In,
    /// Absent, or with none of the values.
    NotIn,
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
}

impl LabelSelector {
    /// True if an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }
}

impl LabelRequirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = || value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            SelectorOperator::In => listed(),
            SelectorOperator::NotIn => !listed(),
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
        }
    }
}
