use std::{iter, sync::Arc};

use ir::Protocol;
use serde_json::{Value, json};

use super::{Findings, ObjectStatus, condition_list, mapping, of, stale};
use crate::{
    attach::{GatewayState, ListenerPlace, ListenerState, ROUTE_KIND, RouteState},
    build::RouteRules,
    status::{Condition, ConditionType, GatewayReason, ListenerReason, with_warning},
};

pub(super) fn document(findings: &Findings<'_, '_>, place: usize) -> ObjectStatus {
    let state = &findings.gateways[place];
    let object = state.gateway.object;
    let generation = object.meta.generation;
    let mut conditions: Vec<Condition> =
        iter::once(accepted(state)).chain(stale(object)).chain([programmed(state)]).collect();
    let is_plain = object.unserved.is_empty() && !state.warnings.is_empty();
    let reason = if is_plain { GatewayReason::Warnings } else { GatewayReason::UnservedField };
    with_warning(&mut conditions, &object.unserved, reason, &state.warnings);
    let addresses: Vec<Value> =
        state.addresses.bound.iter().map(|address| json!({"type": "IPAddress", "value": address})).collect();
    let listeners: Vec<Value> = state
        .listeners
        .iter()
        .enumerate()
        .map(|(number, listener)| self::listener(findings, state, listener, (place, number), generation))
        .collect();
    let status = mapping([
        ("addresses", addresses.into()),
        ("conditions", condition_list(conditions, generation)),
        ("listeners", listeners.into()),
    ]);
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
        .listeners
        .iter()
        .filter(|listener| !listener.is_valid())
        .map(|listener| listener.spec.name.as_str())
        .collect();
    if invalid.is_empty() {
        return of(true, GatewayReason::Accepted, "All listeners are valid.");
    }
    let some = invalid.len() < state.listeners.len();
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
        let count = state.listeners.iter().filter(|listener| listener.is_programmed()).count();
        let message = format!("{count} of {} listeners are served.", state.listeners.len());
        return of(true, GatewayReason::Programmed, message);
    }
    match state.listeners.iter().find_map(|listener| listener.port_taken.clone()) {
        Some(message) => of(false, GatewayReason::AddressNotUsable, message),
        None => of(false, GatewayReason::Invalid, "No listener can be served.".to_owned()),
    }
}

fn listener(
    findings: &Findings<'_, '_>,
    gateway: &GatewayState<'_>,
    state: &ListenerState<'_>,
    place: ListenerPlace,
    generation: i64,
) -> Value {
    let (group, kind) = ROUTE_KIND;
    let kinds = if state.takes_routes { vec![json!({"group": group, "kind": kind})] } else { Vec::new() };
    // Those whose Accepted is True here.
    let is_attached = |(route, rules): &(&RouteState<'_>, &Arc<RouteRules>)| {
        let mut listeners = route.parents.iter().flat_map(|parent| &parent.listeners);
        !rules.all_unsupported && listeners.any(|(listener, _)| *listener == place)
    };
    let routes = findings.routes.iter().zip(findings.rules);
    mapping([
        ("name", state.spec.name.as_str().into()),
        ("supportedKinds", kinds.into()),
        ("attachedRoutes", routes.filter(is_attached).count().into()),
        ("conditions", condition_list(conditions(gateway, state), generation)),
    ])
}

fn conditions(gateway: &GatewayState<'_>, state: &ListenerState<'_>) -> Vec<Condition> {
    use ConditionType::{Accepted, Conflicted, OverlappingTLSConfig, Programmed, ResolvedRefs};
    let mut conditions = Vec::new();
    conditions.push(match state.refusal.as_ref().or(state.conflict.as_ref()) {
        Some((reason, message)) => Condition::new(Accepted, false, *reason, message),
        None => Condition::new(Accepted, true, ListenerReason::Accepted, "The listener is valid."),
    });
    let (holds, reason, message) = programmed_listener(gateway, state);
    conditions.push(Condition::new(Programmed, holds, reason, message));
    conditions.push(match &state.unresolved {
        Some((reason, message)) => Condition::new(ResolvedRefs, false, *reason, message),
        None => {
            Condition::new(ResolvedRefs, true, ListenerReason::ResolvedRefs, "All references are resolved.")
        }
    });
    if let Some((reason, message)) = &state.conflict {
        conditions.push(Condition::new(Conflicted, true, *reason, message));
    }
    if let Some((reason, message)) = &state.overlap {
        conditions.push(Condition::new(OverlappingTLSConfig, true, *reason, message));
    }
    conditions
}

fn programmed_listener(
    gateway: &GatewayState<'_>,
    state: &ListenerState<'_>,
) -> (bool, ListenerReason, String) {
    let invalid = |message: &str| (false, ListenerReason::Invalid, message.to_owned());
    if state.is_programmed() {
        return (true, ListenerReason::Programmed, "Requests are served.".to_owned());
    }
    if gateway.refusal.is_some() {
        return invalid("The Gateway is not accepted.");
    }
    if !state.is_valid() {
        return invalid("The listener is not accepted.");
    }
    if let Some(message) = &state.port_taken {
        return (false, ListenerReason::PortUnavailable, message.clone());
    }
    if state.protocol == Some(Protocol::Https) && state.certificates.is_empty() {
        return invalid("There is no certificate to show.");
    }
    if !state.takes_routes {
        return invalid("No kind of routes that could attach is served.");
    }
    (false, ListenerReason::AddressNotUsable, "The Gateway has no address.".to_owned())
}
