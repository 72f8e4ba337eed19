use std::iter;

use manifest::kind::GATEWAY_GROUP;
use serde_json::{Map, Value};

use super::{Findings, ObjectStatus, condition_list, mapping, of, stale};
use crate::{
    attach::{Ancestor, ListenerPlace, PolicyState, TargetedPolicy},
    build::Remarks,
    status::{Condition, ConditionType, PolicyReason, with_warning},
};

/// `None`: no target of the policy is ours.
pub(super) fn document<P: TargetedPolicy>(
    findings: &Findings<'_, '_>,
    state: &PolicyState<'_, P>,
    remarks: &Remarks,
) -> Option<ObjectStatus> {
    let object = state.policy;
    let ancestors: Vec<Value> = state
        .ancestors
        .iter()
        .map(|ancestor| {
            let controller = ancestor.gateway().map(|gateway| findings.gateways[gateway].controller);
            let conditions = conditions(findings, state, ancestor, remarks);
            mapping([
                ("ancestorRef", reference(ancestor, &object.id.namespace)),
                ("controllerName", controller.unwrap_or(ir::CONTROLLER_NAME).into()),
                ("conditions", condition_list(conditions, object.meta.generation)),
            ])
        })
        .collect();
    (!ancestors.is_empty()).then(|| of(object, mapping([("ancestors", ancestors.into())])))
}

fn reference(ancestor: &Ancestor<'_>, namespace: &str) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: &str| drop(out.insert(key.to_owned(), value.into()));
    put("group", GATEWAY_GROUP);
    put("kind", ancestor.kind);
    put("namespace", namespace);
    put("name", ancestor.name);
    if let Some(section) = ancestor.section {
        put("sectionName", section);
    }
    Value::Object(out)
}

fn conditions<P: TargetedPolicy>(
    findings: &Findings<'_, '_>,
    state: &PolicyState<'_, P>,
    ancestor: &Ancestor<'_>,
    remarks: &Remarks,
) -> Vec<Condition> {
    use ConditionType::{Accepted, Overridden};
    let Remarks { errors, tls_errors, warnings, deprecated } = remarks;
    let mut conditions = Vec::new();
    let errors: Vec<&str> = errors.iter().chain(tls_errors).map(String::as_str).collect();
    conditions.push(match &ancestor.refusal {
        Some((reason, message)) => {
            // What else is wrong with it would otherwise stay unsaid.
            let all: Vec<&str> = iter::once(message.as_str()).chain(errors).collect();
            Condition::new(Accepted, false, *reason, all.join(" "))
        }
        None if errors.is_empty() => {
            let message = format!("The policy holds for {}.", listeners(findings, ancestor));
            Condition::new(Accepted, true, PolicyReason::Accepted, message)
        }
        None => {
            let broken = broken_listeners(findings, ancestor, remarks);
            Condition::new(Accepted, false, PolicyReason::Invalid, format!("{}{broken}", errors.join(" ")))
        }
    });
    conditions.extend(stale(state.policy));
    if let Some(message) = &ancestor.overridden {
        conditions.push(Condition::new(Overridden, true, PolicyReason::Overridden, message));
    }
    let unserved = &state.policy.unserved;
    let reason = match (deprecated.is_empty(), warnings.is_empty(), unserved.is_empty()) {
        (false, true, true) => PolicyReason::DeprecatedField,
        (true, true, false) => PolicyReason::UnservedField,
        _ => PolicyReason::Warnings,
    };
    let more: Vec<String> = deprecated.iter().chain(warnings).cloned().collect();
    with_warning(&mut conditions, unserved, reason, &more);
    conditions
}

fn listeners(findings: &Findings<'_, '_>, ancestor: &Ancestor<'_>) -> String {
    let names: Vec<String> = ancestor.governs.iter().map(|place| name(findings, ancestor, *place)).collect();
    match names.as_slice() {
        [] => "no listener".to_owned(),
        [one] => format!("listener {one}"),
        many => format!("listeners {}", many.join(", ")),
    }
}

/// What becomes of the listeners that a policy with errors governs.
fn broken_listeners(findings: &Findings<'_, '_>, ancestor: &Ancestor<'_>, remarks: &Remarks) -> String {
    let is_tls = |place: &ListenerPlace| findings.gateways[place.0].listeners[place.1].spec.tls.is_some();
    let broken: Vec<String> = ancestor
        .governs
        .iter()
        .filter(|place| remarks.break_listener(is_tls(place)))
        .map(|place| name(findings, ancestor, *place))
        .collect();
    if broken.is_empty() { String::new() } else { format!(" Requests get 500 on: {}.", broken.join(", ")) }
}

fn name(findings: &Findings<'_, '_>, ancestor: &Ancestor<'_>, place: ListenerPlace) -> String {
    let listener = &findings.gateways[place.0].listeners[place.1];
    listener.name_for(ancestor.owner().unwrap_or(listener.owner))
}
