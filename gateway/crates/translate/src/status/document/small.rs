use std::iter;

use serde_json::{Value, json};

use super::{ApplianceState, BackendState, ClassState, ObjectStatus, condition_list, mapping, of, stale};
use crate::status::{
    ApplianceReason, BackendReason, ClassReason, Condition, ConditionType, GatewayReason, with_warning,
};

/// What conformance may be asked of us: features of Gateway API v1.6 that are served. Sorted.
const FEATURES: [&str; 38] = [
    "BackendTLSPolicy",
    "BackendTLSPolicySANValidation",
    "Gateway",
    "GatewayAddressEmpty",
    "GatewayBackendClientCertificate",
    "GatewayFrontendClientCertificateValidation",
    "GatewayFrontendClientCertificateValidationInsecureFallback",
    "GatewayHTTPListenerIsolation",
    "GatewayHTTPSListenerDetectMisdirectedRequests",
    "GatewayInfrastructure",
    "GatewayPort8080",
    "GatewayStaticAddresses",
    "HTTPRoute",
    "HTTPRoute303RedirectStatusCode",
    "HTTPRoute307RedirectStatusCode",
    "HTTPRoute308RedirectStatusCode",
    "HTTPRouteBackendProtocolH2C",
    "HTTPRouteBackendProtocolWebSocket",
    "HTTPRouteBackendRequestHeaderModification",
    "HTTPRouteBackendTimeout",
    "HTTPRouteCORS",
    "HTTPRouteDestinationPortMatching",
    "HTTPRouteHostRewrite",
    "HTTPRouteMethodMatching",
    "HTTPRouteNamedRouteRule",
    "HTTPRouteParentRefPort",
    "HTTPRoutePathRedirect",
    "HTTPRoutePathRewrite",
    "HTTPRoutePortRedirect",
    "HTTPRouteQueryParamMatching",
    "HTTPRouteRequestMirror",
    "HTTPRouteRequestMultipleMirrors",
    "HTTPRouteRequestPercentageMirror",
    "HTTPRouteRequestTimeout",
    "HTTPRouteResponseHeaderModification",
    "HTTPRouteSchemeRedirect",
    "ListenerSet",
    "ReferenceGrant",
];

pub(super) fn class(state: &ClassState<'_>) -> ObjectStatus {
    let object = state.class.object;
    let accepted = match &state.refusal {
        None => {
            let message = "Gateways of this class are served here.";
            Condition::new(ConditionType::Accepted, true, ClassReason::Accepted, message)
        }
        Some((reason, message)) => Condition::new(ConditionType::Accepted, false, *reason, message),
    };
    let mut conditions: Vec<Condition> = iter::once(accepted).chain(stale(object)).collect();
    with_warning(&mut conditions, &object.unserved, GatewayReason::UnservedField, &state.warnings);
    let features: Vec<Value> = FEATURES.iter().map(|name| json!({ "name": name })).collect();
    let conditions = condition_list(conditions, object.meta.generation);
    of(object, mapping([("conditions", conditions), ("supportedFeatures", features.into())]))
}

pub(super) fn appliance(state: &ApplianceState<'_>) -> ObjectStatus {
    let accepted = match &state.conflict {
        None => {
            let message = "These settings are in force.";
            Condition::new(ConditionType::Accepted, true, ApplianceReason::Accepted, message)
        }
        Some((reason, message)) => Condition::new(ConditionType::Accepted, false, *reason, message),
    };
    let conditions = iter::once(accepted).chain(stale(state.object)).collect();
    let conditions = condition_list(conditions, state.object.meta.generation);
    of(state.object, mapping([("conditions", conditions)]))
}

pub(super) fn backend(state: &BackendState<'_>) -> ObjectStatus {
    let accepted = match &state.refusal {
        None => {
            let message = "Routes may use this backend.";
            Condition::new(ConditionType::Accepted, true, BackendReason::Accepted, message)
        }
        Some((reason, message)) => Condition::new(ConditionType::Accepted, false, *reason, message),
    };
    let mut conditions: Vec<Condition> = iter::once(accepted).chain(stale(state.object)).collect();
    with_warning(&mut conditions, &state.object.unserved, BackendReason::UnservedField, &[]);
    let conditions = condition_list(conditions, state.object.meta.generation);
    of(state.object, mapping([("conditions", conditions)]))
}
