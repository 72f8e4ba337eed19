use std::collections::BTreeMap;

use ir::Protocol;
use manifest::{Object, Severity, did_you_mean};

use super::{
    GatewayState,
    targets::{Target, TargetedPolicy, targets},
};
use crate::{
    index::{Index, seniority},
    report::{Report, ended, line},
    status::{PolicyReason, Reason},
};

/// A listener: place of its Gateway among those that are ours, place in the Gateway.
pub(crate) type ListenerPlace = (usize, usize);

/// A policy and what became of it at each of its targets.
#[derive(Debug)]
pub(crate) struct PolicyState<'a, P> {
    pub(crate) policy: &'a Object<P>,
    pub(crate) ancestors: Vec<Ancestor<'a>>,
}

/// A target of a policy.
#[derive(Debug)]
pub(crate) struct Ancestor<'a> {
    /// `None`: there is no such Gateway.
    pub(crate) gateway: Option<usize>,
    pub(crate) name: &'a str,
    pub(crate) section: Option<&'a str>,
    /// Where the reference stands in the policy.
    path: String,
    /// Accepted is False, and the policy has no effect here.
    pub(crate) refusal: Option<(PolicyReason, String)>,
    /// Overridden is True.
    pub(crate) overridden: Option<String>,
    /// The listeners that it governs through this target.
    pub(crate) governs: Vec<ListenerPlace>,
}

/// Every policy of a kind, from the oldest to the youngest, and what governs each listener.
#[derive(Debug)]
pub(crate) struct Policies<'a, P> {
    pub(crate) policies: Vec<PolicyState<'a, P>>,
    /// The place of the policy that governs a listener.
    pub(crate) effective: BTreeMap<ListenerPlace, usize>,
}

impl<'a, P: TargetedPolicy> Policies<'a, P> {
    /// Attaches all policies: first those of single listeners, then those of whole Gateways, each from the
    /// oldest to the youngest. What is claimed is claimed before anyone asks whether the policy is any good.
    pub(crate) fn new(
        objects: &'a [Object<P>],
        gateways: &[GatewayState<'a>],
        index: &Index<'a>,
        report: &mut Report,
    ) -> Self {
        let mut objects: Vec<_> = objects.iter().collect();
        objects.sort_by_key(|policy| seniority(policy));
        let mut attachment = Attachment { gateways, sections: BTreeMap::new(), whole: BTreeMap::new() };
        let mut policies: Vec<PolicyState<'a, P>> =
            objects.into_iter().map(|policy| PolicyState { policy, ancestors: Vec::new() }).collect();
        for state in &mut policies {
            state.ancestors = find(state.policy, gateways, index, report);
        }
        let mut effective = BTreeMap::new();
        for sections in [true, false] {
            for (place, state) in policies.iter_mut().enumerate() {
                let policy = state.policy;
                for ancestor in
                    state.ancestors.iter_mut().filter(|ancestor| ancestor.section.is_some() == sections)
                {
                    let is_new = ancestor.refusal.is_none();
                    attachment.settle(policy, ancestor);
                    if let Some((reason, message)) = ancestor.refusal.as_ref().filter(|_| is_new) {
                        report.add(Severity::Error, policy, &ancestor.path, reason.text(), line(message));
                    }
                    effective.extend(ancestor.governs.iter().map(|listener| (*listener, place)));
                }
            }
        }
        Self { policies, effective }
    }
}

/// The ancestors of a policy: its targets, but for Gateways that are left to another controller.
fn find<'a, P: TargetedPolicy>(
    policy: &'a Object<P>,
    gateways: &[GatewayState<'a>],
    index: &Index<'a>,
    report: &mut Report,
) -> Vec<Ancestor<'a>> {
    let mut ancestors = Vec::new();
    for target in targets(policy) {
        let Target { path, group: _, kind, name, section } = target;
        let key = (&*policy.id.namespace, name);
        if kind != "Gateway" {
            // What is no target at all is an error of the policy's own.
            if policy.spec.in_force().is_none() {
                continue;
            }
            let message =
                format!("targets of kind {kind} are not modelled yet; the policy has no effect there");
            report.add(Severity::Warning, policy, &format!("{path}.kind"), "Unserved", message);
            continue;
        }
        let gateway = gateways.iter().position(|gateway| gateway.key() == key);
        let problem = match gateway {
            Some(gateway) => {
                missing_section(&gateways[gateway], section).map(|message| ("sectionName", message))
            }
            None if index.gateways.contains_key(&key) => continue,
            None => Some(("name", index.absence(&index.gateways, key))),
        };
        let refusal = problem.map(|(field, message)| {
            let reason = PolicyReason::TargetNotFound;
            report.add(Severity::Error, policy, &format!("{path}.{field}"), reason.text(), line(&message));
            (reason, message)
        });
        let governs = Vec::new();
        ancestors.push(Ancestor { gateway, name, section, path, refusal, overridden: None, governs });
    }
    ancestors
}

fn missing_section(gateway: &GatewayState<'_>, section: Option<&str>) -> Option<String> {
    let section = section?;
    let names: Vec<&str> = gateway.listeners.iter().map(|listener| listener.spec.name.as_str()).collect();
    let (namespace, name) = gateway.key();
    (!names.contains(&section)).then(|| {
        let hint = did_you_mean(section, names.iter().copied());
        ended(format!("There is no listener {section} in Gateway {namespace}/{name}{hint}"))
    })
}

/// Who has claimed what so far.
struct Attachment<'s, 'a, P> {
    gateways: &'s [GatewayState<'a>],
    sections: BTreeMap<ListenerPlace, &'a Object<P>>,
    whole: BTreeMap<usize, &'a Object<P>>,
}

impl<'a, P: TargetedPolicy> Attachment<'_, 'a, P> {
    fn settle(&mut self, policy: &'a Object<P>, ancestor: &mut Ancestor<'a>) {
        let (Some(gateway), None) = (ancestor.gateway, &ancestor.refusal) else { return };
        let state = &self.gateways[gateway];
        let listener = ancestor
            .section
            .and_then(|section| state.listeners.iter().position(|listener| listener.spec.name == section));
        match listener {
            Some(listener) => self.settle_section(policy, ancestor, (gateway, listener)),
            None => self.settle_whole(policy, ancestor, gateway),
        }
    }

    fn settle_section(&mut self, policy: &'a Object<P>, ancestor: &mut Ancestor<'a>, place: ListenerPlace) {
        let listeners = &self.gateways[place.0].listeners;
        let mine = &listeners[place.1];
        if let Some(older) = self.sections.get(&place) {
            let target = format!("section {} of Gateway", mine.spec.name);
            ancestor.refusal = Some(conflict(older, &target, ancestor.name));
            return;
        }
        self.sections.insert(place, policy);
        let sharing: Vec<&str> = listeners
            .iter()
            .filter(|other| {
                other.is_valid() && other.spec.port == mine.spec.port && other.spec.name != mine.spec.name
            })
            .map(|other| other.spec.name.as_str())
            .collect();
        if mine.protocol == Some(Protocol::Http) && !sharing.is_empty() {
            let message = format!(
                "Port {} in clear text is shared with {}, and a connection belongs to all of them: target the \
                 whole Gateway. Until then this listener has no {} policy at all.",
                mine.spec.port,
                sharing.join(", "),
                P::OF
            );
            ancestor.refusal = Some((PolicyReason::Invalid, message));
            return;
        }
        ancestor.governs.push(place);
    }

    fn settle_whole(&mut self, policy: &'a Object<P>, ancestor: &mut Ancestor<'a>, gateway: usize) {
        if let Some(older) = self.whole.get(&gateway) {
            ancestor.refusal = Some(conflict(older, "Gateway", ancestor.name));
            return;
        }
        self.whole.insert(gateway, policy);
        let mut overriding = Vec::new();
        for (listener, state) in self.gateways[gateway].listeners.iter().enumerate() {
            match self.sections.get(&(gateway, listener)) {
                Some(section) => {
                    let policy = format!("{}/{}", section.id.namespace, section.id.name);
                    overriding.push((state.spec.name.as_str(), policy));
                }
                None => ancestor.governs.push((gateway, listener)),
            }
        }
        if !overriding.is_empty() {
            let (sections, policies): (Vec<&str>, Vec<String>) = overriding.into_iter().unzip();
            // The first half is Envoy Gateway's own sentence.
            let message = format!(
                "There are existing {} that are overriding these sections [{}]: {}.",
                P::PLURAL,
                sections.join(" "),
                policies.join(", ")
            );
            ancestor.overridden = Some(message);
        }
    }
}

fn conflict<P: TargetedPolicy>(older: &Object<P>, what: &str, gateway: &str) -> (PolicyReason, String) {
    // The first half is Envoy Gateway's own sentence.
    let message = format!(
        "Unable to target {what} {gateway}, another {} has already attached to it: {}/{} (the older one holds, \
         equal ages go by namespace and name).",
        P::KIND,
        older.id.namespace,
        older.id.name
    );
    (PolicyReason::Conflicted, message)
}
