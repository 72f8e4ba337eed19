use schemars::JsonSchema;
use serde::Deserialize;

use super::{GATEWAY_GROUP, GROUP, KIND, Kind, NAMESPACE};

/// Lets objects of other namespaces refer to objects of the grant's own. Any of `from` may refer to any of `to`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReferenceGrant {
    /// Who may refer.
    #[schemars(length(min = 1, max = 16))]
    pub from: Vec<ReferenceGrantFrom>,
    /// What may be referred to, in the namespace of the grant.
    #[schemars(length(min = 1, max = 16))]
    pub to: Vec<ReferenceGrantTo>,
}

/// A kind of objects in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReferenceGrantFrom {
    /// Group of what refers; empty for the core group.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// Kind of what refers: `HTTPRoute`, `Gateway`, ...
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: String,
    /// Namespace of what refers.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE))]
    pub namespace: String,
}

/// A kind of objects, or one of them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReferenceGrantTo {
    /// Group of what is referred to; empty for the core group.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: String,
    /// Kind of what is referred to: `Service`, `Secret`, ...
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: String,
    /// Its name; none: every object of that kind in the namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: Option<String>,
}

impl Kind for ReferenceGrant {
    const KIND: &'static str = "ReferenceGrant";
    const GROUP: &'static str = GATEWAY_GROUP;
    const VERSIONS: &'static [&'static str] = &["v1", "v1beta1"];
    const NAMESPACED: bool = true;
    const CORE: bool = false;
}
