use ir::Hostname;
use manifest::{
    ManifestSet, Severity, did_you_mean,
    kind::{HttpRoute, ParentReference, RouteNamespacesFrom},
};

use super::{
    ListenerPlace, ListenerState, Owner, Parents,
    parents::{Found, Search},
};
use crate::{
    index::{InForce, Index, seniority},
    report::{Report, ended, line},
    status::{Reason, RouteReason},
};

/// An HTTPRoute and what became of it at each of its parents.
#[derive(Debug)]
pub(crate) struct RouteState<'a> {
    pub(crate) route: InForce<'a, HttpRoute>,
    pub(crate) parents: Vec<Parent<'a>>,
}

/// A parent that is ours, or nobody's.
#[derive(Debug)]
pub(crate) struct Parent<'a> {
    pub(crate) reference: &'a ParentReference,
    /// The Gateway of the parent, or the parent itself. `None`: there is none.
    pub(crate) gateway: Option<usize>,
    /// Accepted is False.
    pub(crate) refusal: Option<(RouteReason, String)>,
    /// The listeners that it is attached to, each with the hosts that it serves there (`None`: any host).
    pub(crate) listeners: Vec<(ListenerPlace, Vec<Option<Hostname>>)>,
}

/// Every route that names a Gateway of ours or a ListenerSet of one, from the oldest to the youngest.
pub(crate) fn routes<'a>(
    set: &'a ManifestSet,
    candidates: Parents<'_, 'a>,
    index: &Index<'a>,
    report: &mut Report,
) -> Vec<RouteState<'a>> {
    let mut routes: Vec<_> = set.http_routes.iter().filter_map(InForce::of).collect();
    routes.sort_by_key(|route| seniority(route.object));
    routes
        .into_iter()
        .map(|route| {
            if route.spec.parent_refs.is_empty() {
                let message = "without parentRefs the route is attached to no Gateway and serves nothing";
                report.add(Severity::Warning, route.object, "spec", "NoMatchingParent", message);
            }
            let parents = route.spec.parent_refs.iter().enumerate();
            let parents = parents
                .filter_map(|(place, reference)| parent(route, reference, place, candidates, index, report));
            RouteState { route, parents: parents.collect() }
        })
        .collect()
}

fn parent<'a>(
    route: InForce<'a, HttpRoute>,
    reference: &'a ParentReference,
    place: usize,
    candidates: Parents<'_, 'a>,
    index: &Index<'a>,
    report: &mut Report,
) -> Option<Parent<'a>> {
    let path = format!("spec.parentRefs[{place}]");
    let namespace = reference.namespace.as_deref().unwrap_or(&route.object.id.namespace);
    let kind = (reference.group(), reference.kind());
    let (gateway, attached) = match candidates.find(kind, (namespace, &reference.name), index) {
        Search::Found(found) => (found.gateway, attach(route, reference, found, candidates, index)),
        Search::Foreign => return None,
        Search::Absent(message) => {
            let reason = RouteReason::NoMatchingParent;
            (None, Err(Refusal { field: Some("name"), reason, message }))
        }
        Search::OtherKind => {
            let message = format!("parents of kind {} are not modelled yet", reference.kind());
            report.add(Severity::Warning, route.object, &format!("{path}.kind"), "Unserved", message);
            return None;
        }
    };
    let (refusal, listeners) = match attached {
        Ok(listeners) => (None, listeners),
        Err(Refusal { field, reason, message }) => {
            let at = match field {
                Some("hostnames") => "spec.hostnames".to_owned(),
                Some(field) => format!("{path}.{field}"),
                None => path,
            };
            report.add(Severity::Error, route.object, &at, reason.text(), line(&message));
            (Some((reason, message)), Vec::new())
        }
    };
    Some(Parent { reference, gateway, refusal, listeners })
}

type Attached = Vec<(ListenerPlace, Vec<Option<Hostname>>)>;

/// Why a route is attached nowhere at a parent.
struct Refusal {
    /// Of the reference, or `hostnames` of the route; `None`: the reference itself.
    field: Option<&'static str>,
    reason: RouteReason,
    message: String,
}

fn attach<'a>(
    route: InForce<'_, HttpRoute>,
    reference: &ParentReference,
    found: Found<'a>,
    candidates: Parents<'_, 'a>,
    index: &Index<'_>,
) -> Result<Attached, Refusal> {
    let parent = found.owner.id();
    if let Some(why) = candidates.refusal(found) {
        let message = ended(format!("{parent} is not accepted: {}", line(why)));
        return Err(Refusal { field: Some("name"), reason: RouteReason::NoMatchingParent, message });
    }
    let meant = |(_, listener): &(usize, &ListenerState<'_>)| {
        reference.section_name.as_ref().is_none_or(|section| *section == listener.spec.name)
            && reference.port.is_none_or(|port| port == listener.spec.port)
    };
    let named: Vec<_> = candidates.listeners(found).into_iter().filter(meant).collect();
    let (Some(gateway), false) = (found.gateway, named.is_empty()) else {
        return Err(no_listener(reference, found.owner));
    };
    let open: Vec<_> = named
        .into_iter()
        .filter(|(_, listener)| listener.takes_routes && admits(listener, &route.object.id.namespace, index))
        .collect();
    if open.is_empty() {
        let message = format!(
            "No listener that is meant, of {parent}, takes HTTPRoutes from namespace {} (allowedRoutes).",
            route.object.id.namespace
        );
        return Err(Refusal { field: None, reason: RouteReason::NotAllowedByListeners, message });
    }
    let listeners = open.iter().filter_map(|(_, listener)| listener.spec.hostname.as_ref());
    let wanted = listeners.map(Hostname::as_str).collect::<Vec<_>>().join(", ");
    let attached: Attached = open
        .into_iter()
        .map(|(place, listener)| ((gateway, place), hosts(route.spec, listener.spec.hostname.as_ref())))
        .filter(|(_, hosts)| !hosts.is_empty())
        .collect();
    if attached.is_empty() {
        let message = format!("No hostname of the route falls under a listener's: {wanted}.");
        let reason = RouteReason::NoMatchingListenerHostname;
        return Err(Refusal { field: Some("hostnames"), reason, message });
    }
    Ok(attached)
}

fn no_listener(reference: &ParentReference, parent: Owner<'_>) -> Refusal {
    let names = parent.specs().iter().map(|listener| listener.name.as_str());
    let (field, what) = match (&reference.section_name, reference.port) {
        (Some(section), Some(port)) => ("sectionName", format!("listener {section} on port {port}")),
        (Some(section), None) => ("sectionName", format!("listener {section}")),
        (None, Some(port)) => ("port", format!("listener on port {port}")),
        (None, None) => ("name", "listener".to_owned()),
    };
    let hint = reference.section_name.as_ref().map(|section| did_you_mean(section, names));
    // Where only the port is wrong, the name would be its own hint.
    let hint = hint.filter(|hint| {
        reference.section_name.as_ref().is_none_or(|section| !hint.contains(&format!("`{section}`")))
    });
    let message = ended(format!("{} has no {what}{}", parent.id(), hint.unwrap_or_default()));
    Refusal { field: Some(field), reason: RouteReason::NoMatchingParent, message }
}

fn admits(listener: &ListenerState<'_>, namespace: &str, index: &Index<'_>) -> bool {
    let rule = listener.spec.allowed_routes.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    match rule.and_then(|rule| rule.from).unwrap_or_default() {
        RouteNamespacesFrom::All => true,
        RouteNamespacesFrom::Same => &*listener.owner.id().namespace == namespace,
        RouteNamespacesFrom::Selector => {
            let selector = rule.and_then(|rule| rule.selector.as_ref());
            selector.is_some_and(|selector| index.selects(selector, namespace))
        }
    }
}

/// The hosts that a route serves on a listener; none: it is not attached.
fn hosts(route: &HttpRoute, listener: Option<&Hostname>) -> Vec<Option<Hostname>> {
    if route.hostnames.is_empty() {
        return vec![listener.cloned()];
    }
    let mut hosts: Vec<Option<Hostname>> = route
        .hostnames
        .iter()
        .filter_map(|mine| match listener {
            Some(listener) => mine.intersection(listener).cloned(),
            None => Some(mine.clone()),
        })
        .map(Some)
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts
}
