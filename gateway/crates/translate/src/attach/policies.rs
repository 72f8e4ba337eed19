use std::collections::BTreeMap;

use manifest::{Object, Severity, did_you_mean, kind::GATEWAY_GROUP};

use super::{
    Owner, Parents,
    claims::{Claims, Level},
    parents::{Found, Search},
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
    /// `None`: there is no such object.
    pub(super) found: Option<Found<'a>>,
    pub(crate) kind: &'a str,
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

impl<'a> Ancestor<'a> {
    /// The Gateway that the target is, or is a part of, if there is one.
    pub(crate) fn gateway(&self) -> Option<usize> {
        self.found?.gateway
    }

    /// The object that is the target.
    pub(crate) fn owner(&self) -> Option<Owner<'a>> {
        self.found.map(|found| found.owner)
    }
}

/// Every policy of a kind, from the oldest to the youngest, and what governs each listener.
#[derive(Debug)]
pub(crate) struct Policies<'a, P> {
    pub(crate) policies: Vec<PolicyState<'a, P>>,
    /// The place of the policy that governs a listener.
    pub(crate) effective: BTreeMap<ListenerPlace, usize>,
}

impl<'a, P: TargetedPolicy> Policies<'a, P> {
    /// Attaches all policies: first those of single listeners, then those of whole ListenerSets, then those of whole
    /// Gateways, each from the oldest to the youngest.
    pub(crate) fn new(
        objects: &'a [Object<P>],
        parents: Parents<'_, 'a>,
        index: &Index<'a>,
        report: &mut Report,
    ) -> Self {
        let mut objects: Vec<_> = objects.iter().collect();
        objects.sort_by_key(|policy| seniority(policy));
        let mut claims = Claims::new(parents);
        let mut policies: Vec<PolicyState<'a, P>> =
            objects.into_iter().map(|policy| PolicyState { policy, ancestors: Vec::new() }).collect();
        for state in &mut policies {
            state.ancestors = find(state.policy, parents, index, report);
        }
        let mut effective = BTreeMap::new();
        for level in Level::ALL {
            for (place, state) in policies.iter_mut().enumerate() {
                let policy = state.policy;
                for ancestor in state.ancestors.iter_mut().filter(|ancestor| Level::of(ancestor) == level) {
                    let is_new = ancestor.refusal.is_none();
                    claims.settle(policy, ancestor);
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

/// The ancestors of a policy: its targets, but for those that are left to another controller.
fn find<'a, P: TargetedPolicy>(
    policy: &'a Object<P>,
    parents: Parents<'_, 'a>,
    index: &Index<'a>,
    report: &mut Report,
) -> Vec<Ancestor<'a>> {
    let mut ancestors = Vec::new();
    for target in targets(policy) {
        let Target { path, group: _, kind, name, section } = target;
        let key = (&*policy.id.namespace, name);
        let (found, problem) = match parents.find((GATEWAY_GROUP, kind), key, index) {
            Search::Found(found) => {
                let missing = section.and_then(|section| missing_section(found.owner, section));
                (Some(found), missing.map(|message| ("sectionName", message)))
            }
            Search::Foreign => continue,
            Search::Absent(message) => (None, Some(("name", message))),
            Search::OtherKind => {
                // What is no target at all is an error of the policy's own.
                if policy.spec.in_force().is_some() {
                    let message = format!(
                        "targets of kind {kind} are not modelled yet; the policy has no effect there"
                    );
                    report.add(Severity::Warning, policy, &format!("{path}.kind"), "Unserved", message);
                }
                continue;
            }
        };
        let refusal = problem.map(|(field, message)| {
            let reason = PolicyReason::TargetNotFound;
            report.add(Severity::Error, policy, &format!("{path}.{field}"), reason.text(), line(&message));
            (reason, message)
        });
        let governs = Vec::new();
        ancestors.push(Ancestor { found, kind, name, section, path, refusal, overridden: None, governs });
    }
    ancestors
}

fn missing_section(owner: Owner<'_>, section: &str) -> Option<String> {
    let names: Vec<&str> = owner.specs().iter().map(|listener| listener.name.as_str()).collect();
    (!names.contains(&section)).then(|| {
        let hint = did_you_mean(section, names.iter().copied());
        ended(format!("There is no listener {section} in {}{hint}", owner.id()))
    })
}
