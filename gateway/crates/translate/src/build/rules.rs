use std::{sync::Arc, time::Duration};

use ir::{Action, BackendChoice, BackendTarget, HttpMatch, HttpRule, Mirror, RouteTimeouts, RuleId};
use manifest::{
    Severity,
    kind::{BackendRef, HttpRequestMirror, HttpRoute, HttpRouteRule, HttpRouteTimeouts},
};

use super::{
    Upstreams,
    backends::Refusal,
    filters::{self, Unsupported},
    matches::http_match,
};
use crate::{
    grants::Referrer,
    index::InForce,
    report::{Report, line},
    status::{Reason, RouteReason},
};

/// Envoy's default for a whole request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The rules of a route and what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct RouteRules {
    pub(crate) rules: Vec<(Vec<HttpMatch>, Arc<HttpRule>)>,
    /// Rules that answer 500, and matches that are left out, because a value is not supported.
    pub(crate) unsupported: Vec<String>,
    /// No rule is left that works as written.
    pub(crate) all_unsupported: bool,
    /// ResolvedRefs is False for the first reason.
    pub(crate) unresolved: Vec<Refusal>,
    /// Backends without an endpoint that is ready.
    pub(crate) without_endpoints: Vec<String>,
}

/// Every rule of a route.
pub(crate) fn rules(
    route: InForce<'_, HttpRoute>,
    upstreams: &mut Upstreams<'_, '_>,
    report: &mut Report,
) -> RouteRules {
    let mut out = RouteRules::default();
    let specs = route.spec.rules();
    let mut whole = 0;
    for (index, spec) in specs.iter().enumerate() {
        let path = format!("spec.rules[{index}]");
        let before = out.unsupported.len();
        let matches = matches(route, spec, &path, &mut out, report);
        let id = RuleId {
            route: format!("{}/{}", route.object.id.namespace, route.object.id.name).into(),
            index,
            name: spec.name.as_deref().map(Box::from),
        };
        let rule = rule(route, id, spec, &path, upstreams, &mut out, report);
        out.rules.push((matches, Arc::new(rule)));
        whole += usize::from(out.unsupported.len() == before);
    }
    out.all_unsupported = whole == 0 && !specs.is_empty();
    out
}

fn matches(
    route: InForce<'_, HttpRoute>,
    spec: &HttpRouteRule,
    path: &str,
    out: &mut RouteRules,
    report: &mut Report,
) -> Vec<HttpMatch> {
    if spec.matches.is_empty() {
        return vec![HttpMatch::default()];
    }
    let mut matches = Vec::new();
    for (place, entry) in spec.matches.iter().enumerate() {
        match http_match(route.object, entry, &format!("{path}.matches[{place}]"), report) {
            Ok(one) => matches.push(one),
            Err(message) => out.unsupported.push(format!("{message}; this match is left out.")),
        }
    }
    matches
}

fn rule(
    route: InForce<'_, HttpRoute>,
    id: RuleId,
    spec: &HttpRouteRule,
    path: &str,
    upstreams: &mut Upstreams<'_, '_>,
    out: &mut RouteRules,
    report: &mut Report,
) -> HttpRule {
    let HttpRouteRule {
        name: _,
        matches: _,
        filters,
        backend_refs,
        timeouts,
        retry: _,
        session_persistence: _,
    } = spec;
    let timeouts = route_timeouts(*timeouts);
    let choices = backend_refs.iter().enumerate().map(|(place, reference)| {
        let path = format!("{path}.backendRefs[{place}]");
        choice(route, reference, spec.prefix(), &path, upstreams, out, report)
    });
    let forward = Action::Forward(choices.collect());
    let mirror = |spec: &HttpRequestMirror, path: &str| mirror(route, spec, path, upstreams, out, report);
    let filters = filters::filters(filters, &format!("{path}.filters"), spec.prefix(), mirror);
    let (filters, action) = match filters {
        Ok(filters) => (filters, forward),
        Err(Unsupported { path, message }) => {
            let message = format!("{message}; the rule answers 500");
            let reason = RouteReason::UnsupportedValue.text();
            report.add(Severity::Error, route.object, &path, reason, message.clone());
            out.unsupported.push(format!("{path}: {message}."));
            (Vec::new(), Action::Respond(500))
        }
    };
    HttpRule { id, filters: filters.into(), action, timeouts }
}

/// What a mirror comes to. One that leads nowhere is told of and left out.
fn mirror(
    route: InForce<'_, HttpRoute>,
    spec: &HttpRequestMirror,
    path: &str,
    upstreams: &mut Upstreams<'_, '_>,
    out: &mut RouteRules,
    report: &mut Report,
) -> Option<Mirror> {
    let (numerator, denominator) = spec.share();
    let reference = spec.backend_ref.as_backend_ref();
    let path = format!("{path}.backendRef");
    let referrer = Referrer::of(route.object);
    match upstreams.resolve_mirror(referrer, &reference) {
        Ok(upstream) => {
            if upstream.endpoints.is_empty() {
                let hint = upstreams.endpoint_hint(referrer, &reference);
                warn_of_no_endpoint(route, &upstream, "copies are lost", &hint, &path, report);
            }
            Some(Mirror { upstream, numerator, denominator })
        }
        Err((reason, message)) => {
            let message = format!("{} Nothing is mirrored there.", message);
            report.add(Severity::Error, route.object, &path, reason.text(), line(&message));
            out.unresolved.push((reason, message));
            None
        }
    }
}

/// `so`: what comes of it. `hint`: which names are near.
fn warn_of_no_endpoint(
    route: InForce<'_, HttpRoute>,
    upstream: &ir::Upstream,
    so: &str,
    hint: &str,
    path: &str,
    report: &mut Report,
) {
    let message = format!("{} has no endpoint that is ready; {so}{hint}", upstream.name);
    report.add(Severity::Warning, route.object, path, RouteReason::EndpointsNotFound.text(), message);
}

fn choice(
    route: InForce<'_, HttpRoute>,
    reference: &BackendRef,
    matched: Option<&str>,
    path: &str,
    upstreams: &mut Upstreams<'_, '_>,
    out: &mut RouteRules,
    report: &mut Report,
) -> BackendChoice {
    let weight = reference.weight.unwrap_or(1);
    let filters = filters::of_backend(&reference.filters, &format!("{path}.filters"), matched);
    let referrer = Referrer::of(route.object);
    let resolved = upstreams.resolve(referrer, reference);
    let (filters, target) = match (resolved, filters) {
        (Ok(upstream), Ok(filters)) => {
            if upstream.endpoints.is_empty() {
                out.without_endpoints.push(upstream.name.to_string());
                let hint = upstreams.endpoint_hint(referrer, reference);
                warn_of_no_endpoint(route, &upstream, "its share answers 503", &hint, path, report);
            }
            (filters, BackendTarget::Upstream(upstream))
        }
        (Err((reason, message)), _) => {
            report.add(Severity::Error, route.object, path, reason.text(), line(&message));
            out.unresolved.push((reason, message));
            (Vec::new(), BackendTarget::Unresolved)
        }
        (Ok(_), Err(Unsupported { path, message })) => {
            let reason = RouteReason::InvalidBackendFilters;
            let message = format!("{message}; its share answers 500");
            report.add(Severity::Error, route.object, &path, reason.text(), message.clone());
            out.unresolved.push((reason, format!("{path}: {message}.")));
            (Vec::new(), BackendTarget::Unresolved)
        }
    };
    BackendChoice { weight, filters: filters.into(), target }
}

/// With a limit for each attempt and none for the whole, the limit for each attempt is what was meant to hold:
/// the default for the whole would cut it short.
fn route_timeouts(spec: Option<HttpRouteTimeouts>) -> RouteTimeouts {
    let HttpRouteTimeouts { request, backend_request } = spec.unwrap_or_default();
    let default = if backend_request.is_some() { None } else { Some(REQUEST_TIMEOUT) };
    RouteTimeouts {
        request: request.map_or(default, ir::Duration::limit),
        backend_request: backend_request.and_then(ir::Duration::limit),
    }
}
