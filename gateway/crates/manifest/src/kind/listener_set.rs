use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    FieldError, GATEWAY_GROUP, GROUP, KIND, Kind, LabelSelector, Listener, NAMESPACE,
    gateway::check_listeners,
};

/// Listeners that join those of a Gateway, if it allows them (GEP-1713). Routes are attached to the set, policies to
/// the set or to the whole Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerSet {
    /// The Gateway on whose addresses the listeners are.
    pub parent_ref: ParentGatewayReference,
    /// What is listened on. Where a listener cannot be beside another, those of the Gateway go first, then those of
    /// the older set, equal ages by namespace and name.
    #[schemars(length(min = 1, max = 64))]
    pub listeners: Vec<Listener>,
}

/// Names the Gateway of a ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentGatewayReference {
    /// Group of the parent; by default `gateway.networking.k8s.io`.
    #[schemars(length(max = 253), regex(pattern = GROUP))]
    pub group: Option<String>,
    /// Kind of the parent; by default `Gateway`, the only one that there is.
    #[schemars(length(min = 1, max = 63), regex(pattern = KIND))]
    pub kind: Option<String>,
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the Gateway; by default the set's.
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE))]
    pub namespace: Option<String>,
}

impl ParentGatewayReference {
    /// The group, with its default.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(GATEWAY_GROUP)
    }

    /// The kind, with its default.
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("Gateway")
    }
}

/// Which ListenerSets may add listeners to a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedListeners {
    /// From which namespaces; by default from none.
    pub namespaces: Option<ListenerNamespaces>,
}

/// From which namespaces ListenerSets may add listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerNamespaces {
    /// By default `None`.
    pub from: Option<ListenerNamespacesFrom>,
    /// Labels of the namespaces, for `Selector`.
    pub selector: Option<LabelSelector>,
}

/// From which namespaces ListenerSets may add listeners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ListenerNamespacesFrom {
    /// Any namespace.
    All,
    /// Namespaces whose labels the selector matches.
    Selector,
    /// The Gateway's own namespace.
    Same,
    /// No namespace.
    #[default]
    None,
}

impl Kind for ListenerSet {
    const KIND: &'static str = "ListenerSet";
    const GROUP: &'static str = GATEWAY_GROUP;
    const VERSIONS: &'static [&'static str] = &["v1"];
    const NAMESPACED: bool = true;
    const CORE: bool = false;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        check_listeners(&self.listeners, "ListenerSet", &mut errors);
        errors
    }
}
