use std::iter;

use manifest::kind::GATEWAY_GROUP;
use serde_json::Value;

use super::{Findings, ObjectStatus, condition_list, mapping, of, stale};
use crate::{
    attach::{BackendPolicyState, BackendTarget},
    build::BackendTlsPolicyState,
    status::{Condition, ConditionType, PolicyReason, with_warning},
};

/// Most ancestors of a policy, as the CRD has it.
const MOST: usize = 16;

/// `None`: no Gateway of ours sends requests to a target of the policy.
pub(super) fn document(
    findings: &Findings<'_, '_>,
    state: &BackendPolicyState<'_>,
    settings: &BackendTlsPolicyState,
) -> Option<ObjectStatus> {
    let object = state.policy;
    let ancestor = |place: usize| {
        let gateway = &findings.gateways[place];
        let (namespace, name) = gateway.key();
        let reference = mapping([
            ("group", GATEWAY_GROUP.into()),
            ("kind", "Gateway".into()),
            ("namespace", namespace.into()),
            ("name", name.into()),
        ]);
        let conditions = conditions(state, place, settings);
        mapping([
            ("ancestorRef", reference),
            ("controllerName", gateway.controller.into()),
            ("conditions", condition_list(conditions, object.meta.generation)),
        ])
    };
    let ancestors: Vec<Value> = state.users().into_iter().take(MOST).map(ancestor).collect();
    (!ancestors.is_empty()).then(|| of(object, mapping([("ancestors", ancestors.into())])))
}

fn conditions(
    state: &BackendPolicyState<'_>,
    gateway: usize,
    settings: &BackendTlsPolicyState,
) -> Vec<Condition> {
    use ConditionType::{Accepted, ResolvedRefs};
    let targets = state.targets.iter().filter(|target| target.users.contains(&gateway));
    let refusals: Vec<_> =
        targets.clone().filter_map(|target: &BackendTarget| target.refusal.as_ref()).collect();
    let held = targets.count() - refusals.len();
    let accepted = match (refusals.first(), &settings.settings) {
        (Some((reason, _)), settings) => {
            let but = (held > 0 && settings.is_ok()).then_some("At its other targets it is in force.");
            let invalid = settings.as_ref().err().map(|(_, message)| message.as_str());
            let all = refusals.iter().map(|(_, message)| message.as_str()).chain(invalid).chain(but);
            Condition::new(Accepted, false, *reason, all.collect::<Vec<_>>().join(" "))
        }
        (None, Err((reason, message))) => {
            Condition::new(Accepted, false, *reason, format!("{message} Requests to its targets get 500."))
        }
        (None, Ok(tls)) => {
            let message = format!("Its targets are connected to in TLS, as {}.", tls.server_name);
            Condition::new(Accepted, true, PolicyReason::Accepted, message)
        }
    };
    let resolved = match &settings.unresolved {
        Some((reason, message)) => Condition::new(ResolvedRefs, false, *reason, message),
        None => {
            Condition::new(ResolvedRefs, true, PolicyReason::ResolvedRefs, "All references are resolved.")
        }
    };
    let mut conditions: Vec<_> = iter::once(accepted).chain(stale(state.policy)).chain([resolved]).collect();
    with_warning(&mut conditions, &state.policy.unserved, PolicyReason::UnservedField, &[]);
    conditions
}
