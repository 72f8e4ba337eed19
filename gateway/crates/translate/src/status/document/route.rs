use manifest::kind::ParentReference;
use serde_json::{Map, Value, json};

use super::{Findings, ObjectStatus, RouteRules, RouteState, condition_list, mapping, of, stale};
use crate::{
    attach::Parent,
    status::{Condition, ConditionType, RouteReason, with_warning},
};

/// `None`: no parent of the route is ours.
pub(super) fn document(
    findings: &Findings<'_, '_>,
    state: &RouteState<'_>,
    rules: &RouteRules,
) -> Option<ObjectStatus> {
    let object = state.route.object;
    let parents: Vec<Value> = state
        .parents
        .iter()
        .map(|parent| {
            let controller = parent.gateway.map(|gateway| findings.gateways[gateway].controller);
            let conditions = conditions(state, parent, rules);
            mapping([
                ("parentRef", reference(parent.reference, &object.id.namespace)),
                ("controllerName", controller.unwrap_or(ir::CONTROLLER_NAME).into()),
                ("conditions", condition_list(conditions, object.meta.generation)),
            ])
        })
        .collect();
    (!parents.is_empty()).then(|| of(object, mapping([("parents", parents.into())])))
}

/// The reference with its defaults filled in.
fn reference(parent: &ParentReference, own: &str) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| drop(out.insert(key.to_owned(), value));
    put("group", json!(parent.group()));
    put("kind", json!(parent.kind()));
    put("namespace", json!(parent.namespace.as_deref().unwrap_or(own)));
    put("name", json!(parent.name));
    if let Some(section) = &parent.section_name {
        put("sectionName", json!(section));
    }
    if let Some(port) = parent.port {
        put("port", json!(port));
    }
    Value::Object(out)
}

fn conditions(state: &RouteState<'_>, parent: &Parent<'_>, rules: &RouteRules) -> Vec<Condition> {
    use ConditionType::{Accepted, BackendsAvailable, PartiallyInvalid, ResolvedRefs};
    let object = state.route.object;
    let mut conditions = Vec::new();
    let unsupported = rules.unsupported.join(" ");
    let attached = "The route is attached.";
    conditions.push(match &parent.refusal {
        Some((reason, message)) => Condition::new(Accepted, false, *reason, message),
        None if rules.all_unsupported => {
            Condition::new(Accepted, false, RouteReason::UnsupportedValue, &unsupported)
        }
        None => Condition::new(Accepted, true, RouteReason::Accepted, attached),
    });
    conditions.extend(stale(object));
    conditions.push(match rules.unresolved.first() {
        Some((reason, _)) => {
            let messages: Vec<&str> = rules.unresolved.iter().map(|(_, message)| message.as_str()).collect();
            Condition::new(ResolvedRefs, false, *reason, messages.join(" "))
        }
        None => Condition::new(ResolvedRefs, true, RouteReason::ResolvedRefs, "All references are resolved."),
    });
    if !unsupported.is_empty() && !rules.all_unsupported {
        conditions.push(Condition::new(PartiallyInvalid, true, RouteReason::UnsupportedValue, unsupported));
    }
    if !rules.without_endpoints.is_empty() {
        let message =
            format!("No endpoint is ready: {}; their share answers 503.", rules.without_endpoints.join(", "));
        conditions.push(Condition::new(BackendsAvailable, false, RouteReason::EndpointsNotFound, message));
    }
    with_warning(&mut conditions, &object.unserved, RouteReason::UnservedField, &[]);
    conditions
}
