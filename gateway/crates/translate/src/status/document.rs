use std::sync::Arc;

use manifest::{
    Object, ObjectId, SpecState,
    kind::{ClientTrafficPolicy, ConnectionPolicy, Kind},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Condition, ConditionType, StaleReason};
use crate::{
    attach::{BackendPolicies, ClassState, GatewayState, Policies, RouteState, SetState},
    build::{
        ApplianceState, BackendState, BackendTlsPolicyState, ClientPolicies, ConnectionPolicies, RouteRules,
    },
    report::ended,
    translator::Memory,
};

mod backend_policy;
mod gateway;
mod listener;
mod listener_set;
mod policy;
mod route;
mod small;

/// The status of one object, in the shape of its CRD, but for `lastTransitionTime`: that is known to who writes
/// it down.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectStatus {
    /// Whose.
    #[serde(rename = "object")]
    pub id: ObjectId,
    /// `gateway.networking.k8s.io/v1`.
    pub api_version: String,
    /// `metadata.generation` of what the status is about.
    pub generation: i64,
    /// `metadata.uid`, where the manifest has one: another object of the same name has another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// What stands at `status`.
    pub status: Value,
}

/// Sorted by object. Shared with who remembers them.
pub type Statuses = Vec<Arc<ObjectStatus>>;

/// Everything that the rooms before have found.
#[derive(Debug)]
pub(crate) struct Findings<'f, 'a> {
    pub(crate) classes: Vec<&'f ClassState<'a>>,
    pub(crate) gateways: &'f [GatewayState<'a>],
    pub(crate) sets: &'f [SetState<'a>],
    pub(crate) policies: &'f Policies<'a, ClientTrafficPolicy>,
    pub(crate) clients: &'f ClientPolicies,
    pub(crate) connection_policies: &'f Policies<'a, ConnectionPolicy>,
    pub(crate) connections: &'f ConnectionPolicies,
    pub(crate) backend_policies: &'f BackendPolicies<'a>,
    pub(crate) backend_tls: &'f [BackendTlsPolicyState],
    pub(crate) routes: &'f [RouteState<'a>],
    pub(crate) rules: &'f [Arc<RouteRules>],
    pub(crate) backends: &'f [BackendState<'a>],
    pub(crate) appliances: &'f [ApplianceState<'a>],
    /// Statuses of routes that stand as they stood.
    pub(crate) memory: &'f Memory,
}

/// The status of every object that is ours, and again those of the routes, in their order.
pub(crate) fn documents(findings: &Findings<'_, '_>) -> (Statuses, Vec<Option<Arc<ObjectStatus>>>) {
    let mut statuses: Vec<ObjectStatus> = Vec::new();
    statuses.extend(findings.classes.iter().map(|class| small::class(class)));
    statuses.extend(findings.appliances.iter().map(small::appliance));
    statuses.extend(findings.backends.iter().map(small::backend));
    statuses.extend((0..findings.gateways.len()).map(|place| gateway::document(findings, place)));
    statuses.extend(findings.sets.iter().map(|set| listener_set::document(findings, set)));
    let policies = findings.policies.policies.iter().zip(&findings.clients.0);
    statuses
        .extend(policies.filter_map(|(policy, client)| policy::document(findings, policy, &client.remarks)));
    let policies = findings.connection_policies.policies.iter().zip(&findings.connections.0);
    statuses.extend(policies.filter_map(|(policy, own)| policy::document(findings, policy, &own.remarks)));
    let policies = findings.backend_policies.policies.iter().zip(findings.backend_tls);
    statuses.extend(policies.filter_map(|(policy, own)| backend_policy::document(findings, policy, own)));
    let of_route = |(route, rules): (&RouteState<'_>, &Arc<RouteRules>)| {
        let known = findings.memory.status(route, rules);
        known.or_else(|| route::document(findings, route, rules).map(Arc::new))
    };
    let routes: Vec<_> = findings.routes.iter().zip(findings.rules).map(of_route).collect();
    let mut all: Statuses = statuses.into_iter().map(Arc::new).collect();
    all.extend(routes.iter().flatten().cloned());
    all.sort_by(|a, b| a.id.cmp(&b.id));
    (all, routes)
}

fn of<T: Kind>(object: &Object<T>, status: Value) -> ObjectStatus {
    let version = T::VERSIONS.first().copied().unwrap_or_default();
    let api_version =
        if T::GROUP.is_empty() { version.to_owned() } else { format!("{}/{version}", T::GROUP) };
    let manifest::Meta { generation, uid, .. } = &object.meta;
    ObjectStatus { id: object.id.clone(), api_version, generation: *generation, uid: uid.clone(), status }
}

/// A mapping of values that are moved into it: `json!` would copy each with all that is below it.
fn mapping<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Conditions as the API shows them.
fn condition_list(conditions: Vec<Condition>, generation: i64) -> Value {
    let one = |condition: Condition| {
        let Condition { kind, holds, reason, message } = condition;
        mapping([
            ("type", json!(kind)),
            ("status", if holds { "True" } else { "False" }.into()),
            ("reason", reason.into()),
            ("message", message.into()),
            ("observedGeneration", generation.into()),
        ])
    };
    conditions.into_iter().map(one).collect()
}

/// Says where the file's text is newer than what is served: the condition Stale. Its place is the first, beside
/// Accepted, so that nobody takes the one for the other.
fn stale<T>(object: &Object<T>) -> Option<Condition> {
    match &object.spec {
        SpecState::Stale(_, why) => {
            let message =
                ended(format!("The last good version is in force: what the file says now is refused, {why}"));
            Some(Condition::new(ConditionType::Stale, true, StaleReason::LastGood, message))
        }
        SpecState::Good(_) | SpecState::Refused(_) => None,
    }
}
