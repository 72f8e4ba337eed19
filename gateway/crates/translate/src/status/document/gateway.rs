use std::iter;

use serde_json::{Value, json};

use super::{Findings, ObjectStatus, condition_list, listener, mapping, of, stale};
use crate::{
    attach::{GatewayState, insecure_modes},
    status::{Condition, ConditionType, GatewayReason, with_warning},
};

pub(super) fn document(findings: &Findings<'_, '_>, place: usize) -> ObjectStatus {
    let state = &findings.gateways[place];
    let object = state.gateway.object;
    let generation = object.meta.generation;
    let mut conditions: Vec<Condition> =
        iter::once(accepted(state)).chain(stale(object)).chain([programmed(state)]).collect();
    conditions.extend(resolved_refs(state));
    conditions.extend(insecure_validation(state));
    let is_plain = object.unserved.is_empty() && !state.warnings.is_empty();
    let reason = if is_plain { GatewayReason::Warnings } else { GatewayReason::UnservedField };
    with_warning(&mut conditions, &object.unserved, reason, &state.warnings);
    let addresses: Vec<Value> =
        state.addresses.bound.iter().map(|address| json!({"type": "IPAddress", "value": address})).collect();
    let listeners = state.own_listeners().iter().enumerate();
    let listeners: Vec<Value> = listeners
        .map(|(number, listener)| listener::entry(findings, listener, (place, number), generation))
        .collect();
    let mut status = mapping([
        ("addresses", addresses.into()),
        ("conditions", condition_list(conditions, generation)),
        ("listeners", listeners.into()),
    ]);
    let mut sets = findings.sets.iter().filter(|set| set.gateway == Some(place)).peekable();
    // Where nobody speaks of ListenerSets, nothing is said of them.
    if sets.peek().is_some() || state.gateway.spec.allowed_listeners.is_some() {
        let attached = sets.filter(|set| set.is_accepted(findings.gateways)).count();
        status["attachedListenerSets"] = attached.into();
    }
    of(object, status)
}

fn accepted(state: &GatewayState<'_>) -> Condition {
    let of = |holds, reason: GatewayReason, message: &str| {
        Condition::new(ConditionType::Accepted, holds, reason, message)
    };
    if let Some((reason, message)) = &state.refusal {
        return of(false, *reason, message);
    }
    let invalid: Vec<&str> = state
        .own_listeners()
        .iter()
        .filter(|listener| !listener.is_valid())
        .map(|listener| listener.spec.name.as_str())
        .collect();
    if invalid.is_empty() {
        return of(true, GatewayReason::Accepted, "All listeners are valid.");
    }
    let some = state.is_accepted();
    let message = format!("Listeners that are not valid: {}.", invalid.join(", "));
    of(some, GatewayReason::ListenersNotValid, &message)
}

fn programmed(state: &GatewayState<'_>) -> Condition {
    let of = |holds, reason: GatewayReason, message: String| {
        Condition::new(ConditionType::Programmed, holds, reason, message)
    };
    if state.refusal.is_some() {
        return of(false, GatewayReason::Invalid, "The Gateway is not accepted.".to_owned());
    }
    if let Some((reason, message)) = &state.addresses.unusable {
        return of(false, *reason, message.clone());
    }
    if state.is_served() {
        let own = state.own_listeners();
        let count = own.iter().filter(|listener| listener.is_programmed()).count();
        let message = format!("{count} of {} listeners are served.", own.len());
        return of(true, GatewayReason::Programmed, message);
    }
    match state.own_listeners().iter().find_map(|listener| listener.port_taken.clone()) {
        Some(message) => of(false, GatewayReason::AddressNotUsable, message),
        None => of(false, GatewayReason::Invalid, "No listener can be served.".to_owned()),
    }
}

/// Only where the Gateway itself has a reference; those of listeners are said there.
fn resolved_refs(state: &GatewayState<'_>) -> Option<Condition> {
    let resolved = |holds, reason: GatewayReason, message: &str| {
        Condition::new(ConditionType::ResolvedRefs, holds, reason, message)
    };
    Some(match state.client_certificate.as_ref()? {
        Ok(_) => resolved(true, GatewayReason::ResolvedRefs, "All references are resolved."),
        Err((reason, message)) => {
            resolved(false, *reason, &format!("{message} Backends are shown no certificate."))
        }
    })
}

fn insecure_validation(state: &GatewayState<'_>) -> Option<Condition> {
    let fields = insecure_modes(state.gateway.spec);
    (!fields.is_empty()).then(|| {
        let message =
            format!("Clients are served whose certificate is missing or not valid: {}.", fields.join(", "));
        let (kind, reason) =
            (ConditionType::InsecureFrontendValidationMode, GatewayReason::ConfigurationChanged);
        Condition::new(kind, true, reason, message)
    })
}
