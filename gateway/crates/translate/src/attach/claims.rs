use std::collections::BTreeMap;

use ir::Protocol;
use manifest::Object;

use super::{Ancestor, ListenerPlace, ListenerState, Parents, TargetedPolicy, parents::Found};
use crate::status::PolicyReason;

/// How much a target covers. Who covers less goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Section,
    Set,
    Gateway,
}

impl Level {
    /// In the order in which claims are made.
    pub(super) const ALL: [Self; 3] = [Self::Section, Self::Set, Self::Gateway];

    pub(super) fn of(ancestor: &Ancestor<'_>) -> Self {
        match ancestor.found {
            _ if ancestor.section.is_some() => Self::Section,
            Some(Found { set: Some(_), .. }) => Self::Set,
            _ => Self::Gateway,
        }
    }
}

/// Who has claimed what so far.
pub(super) struct Claims<'s, 'a, P> {
    parents: Parents<'s, 'a>,
    sections: BTreeMap<ListenerPlace, &'a Object<P>>,
    sets: BTreeMap<usize, &'a Object<P>>,
    gateways: BTreeMap<usize, &'a Object<P>>,
}

impl<'s, 'a, P: TargetedPolicy> Claims<'s, 'a, P> {
    pub(super) fn new(parents: Parents<'s, 'a>) -> Self {
        Self { parents, sections: BTreeMap::new(), sets: BTreeMap::new(), gateways: BTreeMap::new() }
    }

    /// Gives a policy what it targets, or the reason why not. What is claimed is claimed before anyone asks whether
    /// the policy is any good.
    pub(super) fn settle(&mut self, policy: &'a Object<P>, ancestor: &mut Ancestor<'a>) {
        let (Some(found), None) = (ancestor.found, &ancestor.refusal) else { return };
        match (ancestor.section, found.set, found.gateway) {
            (Some(section), _, Some(gateway)) => {
                let listeners = self.parents.listeners(found);
                let listener = listeners.iter().find(|(_, listener)| listener.spec.name == section);
                if let Some((place, _)) = listener {
                    self.settle_section(policy, ancestor, (gateway, *place));
                }
            }
            (None, Some(set), _) => self.settle_set(policy, ancestor, found, set),
            (None, None, Some(gateway)) => self.settle_gateway(policy, ancestor, gateway),
            (_, _, None) => {}
        }
    }

    fn settle_section(&mut self, policy: &'a Object<P>, ancestor: &mut Ancestor<'a>, place: ListenerPlace) {
        let mine = &self.parents.gateways[place.0].listeners[place.1];
        if let Some(older) = self.sections.get(&place) {
            let target = format!("section {} of {}", mine.spec.name, ancestor.kind);
            ancestor.refusal = Some(conflict(older, &target, ancestor.name));
            return;
        }
        self.sections.insert(place, policy);
        let sharing = self.sharing(place);
        if mine.protocol == Some(Protocol::Http) && !sharing.is_empty() {
            let names: Vec<String> = sharing.iter().map(|other| other.name_for(mine.owner)).collect();
            let is_sibling = |other: &&ListenerState<'_>| other.owner.id() == mine.owner.id();
            let whole = if sharing.iter().all(is_sibling) { ancestor.kind } else { "Gateway" };
            let message = format!(
                "Port {} in clear text is shared with {}, and a connection belongs to all of them: target the \
                 whole {whole}. Until then this listener has no {} policy at all.",
                mine.spec.port,
                names.join(", "),
                P::OF
            );
            ancestor.refusal = Some((PolicyReason::Invalid, message));
            return;
        }
        ancestor.governs.push(place);
    }

    /// A set whose port in clear text others listen on too is not claimed: what holds for the whole Gateway holds
    /// there.
    fn settle_set(
        &mut self,
        policy: &'a Object<P>,
        ancestor: &mut Ancestor<'a>,
        found: Found<'a>,
        set: usize,
    ) {
        if let Some(older) = self.sets.get(&set) {
            ancestor.refusal = Some(conflict(older, ancestor.kind, ancestor.name));
            return;
        }
        let gateway = found.gateway.unwrap_or_default();
        let listeners = self.parents.listeners(found);
        let in_clear_text = listeners
            .iter()
            .filter(|(_, listener)| listener.is_valid() && listener.protocol == Some(Protocol::Http));
        for (place, listener) in in_clear_text {
            let sharing = self.sharing((gateway, *place));
            let others = sharing.iter().filter(|other| other.owner.id() != listener.owner.id());
            let names: Vec<String> = others.map(|other| other.name_for(listener.owner)).collect();
            if !names.is_empty() {
                let message = format!(
                    "Port {} in clear text is shared with {}, and a connection belongs to all of them: target the \
                     whole Gateway. What its own {} policy says holds here too.",
                    listener.spec.port,
                    names.join(", "),
                    P::OF
                );
                ancestor.refusal = Some((PolicyReason::Invalid, message));
                return;
            }
        }
        self.sets.insert(set, policy);
        let places = listeners.into_iter().map(|(place, _)| (gateway, place)).collect();
        self.settle_rest(ancestor, places);
    }

    fn settle_gateway(&mut self, policy: &'a Object<P>, ancestor: &mut Ancestor<'a>, gateway: usize) {
        if let Some(older) = self.gateways.get(&gateway) {
            ancestor.refusal = Some(conflict(older, ancestor.kind, ancestor.name));
            return;
        }
        self.gateways.insert(gateway, policy);
        let listeners = 0..self.parents.gateways[gateway].listeners.len();
        self.settle_rest(ancestor, listeners.map(|place| (gateway, place)).collect());
    }

    /// What nobody with a narrower target has.
    fn settle_rest(&self, ancestor: &mut Ancestor<'a>, places: Vec<ListenerPlace>) {
        let Some(found) = ancestor.found else { return };
        let mut overriding = Vec::new();
        for place in places {
            match self.narrower(found, place) {
                Some(narrower) => {
                    let policy = format!("{}/{}", narrower.id.namespace, narrower.id.name);
                    let listener = &self.parents.gateways[place.0].listeners[place.1];
                    overriding.push((listener.name_for(found.owner), policy));
                }
                None => ancestor.governs.push(place),
            }
        }
        if !overriding.is_empty() {
            let (sections, policies): (Vec<String>, Vec<String>) = overriding.into_iter().unzip();
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

    fn narrower(&self, found: Found<'a>, place: ListenerPlace) -> Option<&'a Object<P>> {
        let of_set = || {
            let sets = self.parents.sets.iter().enumerate();
            let mut sets =
                sets.filter(|(_, set)| set.gateway == Some(place.0) && set.places.contains(&place.1));
            sets.find_map(|(set, _)| self.sets.get(&set)).filter(|_| found.set.is_none())
        };
        self.sections.get(&place).or_else(of_set).copied()
    }

    /// The other listeners on the port of one that are not refused.
    fn sharing(&self, place: ListenerPlace) -> Vec<&'s ListenerState<'a>> {
        let listeners = &self.parents.gateways[place.0].listeners;
        let port = listeners[place.1].spec.port;
        let others = listeners.iter().enumerate().filter(|(other, _)| *other != place.1);
        others.map(|(_, state)| state).filter(|state| state.is_valid() && state.spec.port == port).collect()
    }
}

fn conflict<P: TargetedPolicy>(older: &Object<P>, what: &str, name: &str) -> (PolicyReason, String) {
    // The first half is Envoy Gateway's own sentence.
    let message = format!(
        "Unable to target {what} {name}, another {} has already attached to it: {}/{} (the older one holds, \
         equal ages go by namespace and name).",
        P::KIND,
        older.id.namespace,
        older.id.name
    );
    (PolicyReason::Conflicted, message)
}
