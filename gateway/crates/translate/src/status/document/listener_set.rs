use std::iter;

use serde_json::Value;

use super::{Findings, ObjectStatus, condition_list, listener, mapping, of, stale};
use crate::{
    attach::{ListenerState, SetState},
    status::{Condition, ConditionType, ListenerSetReason, with_warning},
};

pub(super) fn document(findings: &Findings<'_, '_>, state: &SetState<'_>) -> ObjectStatus {
    let object = state.set.object;
    let generation = object.meta.generation;
    let listeners: Vec<_> = state.listeners(findings.gateways).collect();
    let mut conditions: Vec<Condition> = iter::once(accepted(findings, state))
        .chain(stale(object))
        .chain([programmed(findings, state)])
        .collect();
    with_warning(&mut conditions, &object.unserved, ListenerSetReason::UnservedField, &[]);
    let gateway = state.gateway.unwrap_or_default();
    let listeners: Vec<Value> = listeners
        .into_iter()
        .map(|(number, listener)| listener::entry(findings, listener, (gateway, number), generation))
        .collect();
    let status =
        mapping([("conditions", condition_list(conditions, generation)), ("listeners", listeners.into())]);
    of(object, status)
}

fn accepted(findings: &Findings<'_, '_>, state: &SetState<'_>) -> Condition {
    let of = |holds, reason: ListenerSetReason, message: &str| {
        Condition::new(ConditionType::Accepted, holds, reason, message)
    };
    if let Some((reason, message)) = &state.refusal {
        return of(false, *reason, message);
    }
    let incomplete: Vec<&str> = state
        .listeners(findings.gateways)
        .filter(|(_, listener)| !listener.is_complete())
        .map(|(_, listener)| listener.spec.name.as_str())
        .collect();
    if incomplete.is_empty() {
        return of(true, ListenerSetReason::Accepted, "All listeners are valid.");
    }
    let message = format!("Listeners that are not valid: {}.", incomplete.join(", "));
    of(state.is_accepted(findings.gateways), ListenerSetReason::ListenersNotValid, &message)
}

fn programmed(findings: &Findings<'_, '_>, state: &SetState<'_>) -> Condition {
    let of = |holds, reason: ListenerSetReason, message: String| {
        Condition::new(ConditionType::Programmed, holds, reason, message)
    };
    if let Some((reason, _)) = &state.refusal {
        return of(false, *reason, "The ListenerSet is not accepted.".to_owned());
    }
    let listeners: Vec<&ListenerState<'_>> =
        state.listeners(findings.gateways).map(|(_, listener)| listener).collect();
    let count = listeners.iter().filter(|listener| listener.is_programmed()).count();
    if count > 0 {
        let message = format!("{count} of {} listeners are served.", listeners.len());
        return of(true, ListenerSetReason::Programmed, message);
    }
    if !state.is_accepted(findings.gateways) {
        let message = "No listener can be served.".to_owned();
        return of(false, ListenerSetReason::ListenersNotValid, message);
    }
    match listeners.iter().find_map(|listener| listener.port_taken.clone()) {
        Some(message) => of(false, ListenerSetReason::PortUnavailable, message),
        None => {
            let message = "The Gateway has no address.".to_owned();
            of(false, ListenerSetReason::ParentNotProgrammed, message)
        }
    }
}
