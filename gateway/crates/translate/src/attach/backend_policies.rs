use std::collections::{BTreeMap, BTreeSet};

use manifest::{
    Object, Severity, did_you_mean,
    kind::{BackendTlsPolicy, ENVOY_GATEWAY_GROUP, HttpRouteRule},
};

use super::{
    RouteState,
    targets::{Target, targets},
};
use crate::{
    index::{Index, Key, key, seniority},
    report::{Report, ended, line},
    status::{PolicyReason, Reason},
};

/// What a route may send requests to, by kind, namespace and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BackendKey<'a> {
    Service(Key<'a>),
    Backend(Key<'a>),
}

impl<'a> BackendKey<'a> {
    /// `None`: of another kind.
    pub(crate) fn new(group: &str, kind: &str, key: Key<'a>) -> Option<Self> {
        match (group, kind) {
            ("", "Service") => Some(Self::Service(key)),
            (ENVOY_GATEWAY_GROUP, "Backend") => Some(Self::Backend(key)),
            _ => None,
        }
    }
}

/// A BackendTLSPolicy and what became of it at each of its targets.
#[derive(Debug)]
pub(crate) struct BackendPolicyState<'a> {
    pub(crate) policy: &'a Object<BackendTlsPolicy>,
    pub(crate) targets: Vec<BackendTarget>,
}

/// A backend, or a port of one, that a policy names.
#[derive(Debug)]
pub(crate) struct BackendTarget {
    /// The policy has no effect there.
    pub(crate) refusal: Option<(PolicyReason, String)>,
    /// The Gateways that send requests there, by their places.
    pub(crate) users: BTreeSet<usize>,
}

/// Every BackendTLSPolicy, from the oldest to the youngest, and what governs each backend.
#[derive(Debug, Default)]
pub(crate) struct BackendPolicies<'a> {
    pub(crate) policies: Vec<BackendPolicyState<'a>>,
    /// The place of the policy of a backend, or of one port of it.
    effective: BTreeMap<(BackendKey<'a>, Option<&'a str>), usize>,
}

impl<'a> BackendPolicies<'a> {
    /// Attaches all policies, each to its targets, from the oldest to the youngest. What is claimed is claimed before
    /// anyone asks whether the policy is any good.
    pub(crate) fn new(
        objects: &'a [Object<BackendTlsPolicy>],
        routes: &[RouteState<'a>],
        index: &Index<'a>,
        report: &mut Report,
    ) -> Self {
        let mut objects: Vec<_> = objects.iter().collect();
        objects.sort_by_key(|policy| seniority(policy));
        let mut all = Self::default();
        let users = if objects.is_empty() { BTreeMap::new() } else { users(routes) };
        for (place, policy) in objects.iter().copied().enumerate() {
            let mut state = BackendPolicyState { policy, targets: Vec::new() };
            for target in targets(policy) {
                let key = (&*policy.id.namespace, target.name);
                let Some(backend) = BackendKey::new(target.group, target.kind, key) else {
                    report_kind(policy, &target, report);
                    continue;
                };
                let refusal = missing(backend, target.section, index).or_else(|| {
                    let older = *all.effective.entry((backend, target.section)).or_insert(place);
                    (older != place).then(|| conflict(objects[older], &target))
                });
                if let Some((reason, message)) = &refusal {
                    report.add(Severity::Error, policy, &target.path, reason.text(), line(message));
                }
                let users = users.get(&backend).cloned().unwrap_or_default();
                state.targets.push(BackendTarget { refusal, users });
            }
            all.policies.push(state);
        }
        all
    }

    /// The place of the policy that governs a backend's port of that name.
    pub(crate) fn governing(&self, backend: BackendKey<'_>, port: Option<&str>) -> Option<usize> {
        let of_port = port.and_then(|port| self.effective.get(&(backend, Some(port))));
        of_port.or_else(|| self.effective.get(&(backend, None))).copied()
    }
}

impl BackendPolicyState<'_> {
    /// The Gateways that send requests to a target of the policy.
    pub(crate) fn users(&self) -> BTreeSet<usize> {
        self.targets.iter().flat_map(|target| &target.users).copied().collect()
    }
}

fn report_kind(policy: &Object<BackendTlsPolicy>, target: &Target<'_>, report: &mut Report) {
    let message = format!(
        "{} of group `{}` is no backend, so the policy has no effect there; expected Service, or Backend of group \
         {ENVOY_GATEWAY_GROUP}",
        target.kind, target.group
    );
    let (path, reason) = (format!("{}.kind", target.path), PolicyReason::TargetNotFound.text());
    report.add(Severity::Warning, policy, &path, reason, message);
}

fn missing(
    backend: BackendKey<'_>,
    section: Option<&str>,
    index: &Index<'_>,
) -> Option<(PolicyReason, String)> {
    let not_found = |message| Some((PolicyReason::TargetNotFound, message));
    match backend {
        BackendKey::Service(key @ (namespace, name)) => {
            let Some(service) = index.services.get(&key) else {
                return not_found(index.absence(&index.services, key));
            };
            let section = section?;
            let ports: Vec<&str> =
                service.spec.ports.iter().filter_map(|port| port.name.as_deref()).collect();
            if ports.contains(&section) {
                return None;
            }
            let hint = did_you_mean(section, ports);
            not_found(ended(format!("Service {namespace}/{name} has no port of the name {section}{hint}")))
        }
        BackendKey::Backend(key @ (namespace, name)) => {
            if !index.backends.contains_key(&key) {
                return not_found(index.absence(&index.backends, key));
            }
            section.and_then(|section| {
                not_found(format!(
                    "Backend {namespace}/{name} has no sections, {section} or other: name it whole."
                ))
            })
        }
    }
}

fn conflict(older: &Object<BackendTlsPolicy>, target: &Target<'_>) -> (PolicyReason, String) {
    let section = target.section.map(|section| format!("section {section} of ")).unwrap_or_default();
    let (namespace, name) = key(older);
    let message = format!(
        "Unable to target {section}{} {}, another {} has already attached to it: {namespace}/{name} (the older one \
         holds, equal ages go by namespace and name).",
        target.kind,
        target.name,
        <BackendTlsPolicy as manifest::kind::Kind>::KIND,
    );
    (PolicyReason::Conflicted, message)
}

/// The Gateways that send requests to each backend, by way of the routes that are attached to them.
fn users<'a>(routes: &[RouteState<'a>]) -> BTreeMap<BackendKey<'a>, BTreeSet<usize>> {
    let mut users: BTreeMap<_, BTreeSet<usize>> = BTreeMap::new();
    for route in routes {
        let attached = route.parents.iter().filter(|parent| !parent.listeners.is_empty());
        let gateways: BTreeSet<usize> = attached.filter_map(|parent| parent.gateway).collect();
        let own = &*route.route.object.id.namespace;
        for backend in route.route.spec.rules.iter().flatten().flat_map(|rule| backends(own, rule)) {
            users.entry(backend).or_default().extend(&gateways);
        }
    }
    users
}

/// The backends that a rule names, those of its mirrors included.
fn backends<'a>(own: &'a str, rule: &'a HttpRouteRule) -> impl Iterator<Item = BackendKey<'a>> {
    let forwarded = rule.backend_refs.iter().map(|reference| {
        (reference.group(), reference.kind(), reference.namespace.as_deref(), reference.name.as_str())
    });
    let mirrors = rule.filters.iter().filter_map(|filter| filter.request_mirror.as_ref());
    let mirrored = mirrors.map(|mirror| {
        let reference = &mirror.backend_ref;
        let (group, kind) = (reference.group.as_deref(), reference.kind.as_deref());
        let (group, kind) = (group.unwrap_or_default(), kind.unwrap_or("Service"));
        (group, kind, reference.namespace.as_deref(), reference.name.as_str())
    });
    forwarded.chain(mirrored).filter_map(move |(group, kind, namespace, name)| {
        BackendKey::new(group, kind, (namespace.unwrap_or(own), name))
    })
}
