use ir::Protocol;
use serde_json::{Value, json};

use super::{Findings, condition_list, mapping};
use crate::{
    attach::{GatewayState, ListenerPlace, ListenerState, ROUTE_KIND, RouteState},
    build::RouteRules,
    status::{Condition, ConditionType, ListenerReason},
};

/// The entry of a listener in the status of its owner.
pub(super) fn entry(
    findings: &Findings<'_, '_>,
    state: &ListenerState<'_>,
    place: ListenerPlace,
    generation: i64,
) -> Value {
    let gateway = &findings.gateways[place.0];
    let (group, kind) = ROUTE_KIND;
    let kinds = if state.takes_routes { vec![json!({"group": group, "kind": kind})] } else { Vec::new() };
    // Those whose Accepted is True here.
    let is_attached = |(route, rules): &(&RouteState<'_>, &std::sync::Arc<RouteRules>)| {
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
    conditions.push(match state.objection() {
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
    if let Some((reason, _)) = &state.conflict {
        return (false, *reason, "The listener is not accepted.".to_owned());
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
