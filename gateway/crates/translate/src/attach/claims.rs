use std::collections::{BTreeMap, BTreeSet};

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
///
/// In clear text a connection belongs to every listener of its port, so that one policy has to hold for them all:
/// that of who was on the port first. Otherwise a ListenerSet could rid its Gateway of a limit by joining a port.
pub(super) struct Claims<'s, 'a, P> {
    parents: Parents<'s, 'a>,
    sections: BTreeMap<ListenerPlace, &'a Object<P>>,
    sets: BTreeMap<usize, &'a Object<P>>,
    gateways: BTreeMap<usize, &'a Object<P>>,
    /// Listeners that a policy with a wider target finds taken.
    taken: BTreeMap<ListenerPlace, &'a Object<P>>,
}

/// The listeners that share a port in clear text with one.
struct Neighbours<'s, 'a> {
    /// Of who was there before.
    elders: Vec<&'s ListenerState<'a>>,
    /// Of the same object.
    siblings: Vec<&'s ListenerState<'a>>,
    /// Of who came later.
    juniors: Vec<ListenerPlace>,
}

impl<'s, 'a, P: TargetedPolicy> Claims<'s, 'a, P> {
    pub(super) fn new(parents: Parents<'s, 'a>) -> Self {
        Self {
            parents,
            sections: BTreeMap::new(),
            sets: BTreeMap::new(),
            gateways: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    /// Gives a policy what it targets, or the reason why not. What is claimed is claimed before anyone asks whether
    /// the policy is any good.
    pub(super) fn settle(&mut self, policy: &'a Object<P>, ancestor: &mut Ancestor<'a>) {
        let (Some(found), None) = (ancestor.found, &ancestor.refusal) else { return };
        let Some(gateway) = found.gateway else { return };
        let result = match (ancestor.section, found.set) {
            (Some(section), _) => self.settle_section(policy, ancestor, found, (gateway, section)),
            (None, Some(set)) => self.settle_set(policy, ancestor, found, (gateway, set)),
            (None, None) => self.settle_gateway(policy, ancestor, found, gateway),
        };
        ancestor.refusal = result.err();
    }

    fn settle_section(
        &mut self,
        policy: &'a Object<P>,
        ancestor: &mut Ancestor<'a>,
        found: Found<'a>,
        (gateway, section): (usize, &str),
    ) -> Result<(), Refusal> {
        let listeners = self.parents.listeners(found);
        let Some((number, mine)) = listeners.into_iter().find(|(_, it)| it.spec.name == section) else {
            return Ok(());
        };
        let place = (gateway, number);
        let Neighbours { elders, siblings, juniors } = self.neighbours(place);
        not_the_first(mine, &elders)?;
        if let Some(older) = self.sections.get(&place) {
            let target = format!("section {section} of {}", ancestor.kind);
            return Err(conflict(older, &target, ancestor.name));
        }
        self.sections.insert(place, policy);
        self.taken.insert(place, policy);
        if !siblings.is_empty() {
            let names: Vec<&str> = siblings.iter().map(|other| other.spec.name.as_str()).collect();
            let message = format!(
                "Port {} in clear text is shared with {}, and a connection belongs to all of them: target the \
                 whole {}. Until then this listener has no {} policy at all.",
                mine.spec.port,
                names.join(", "),
                ancestor.kind,
                P::OF
            );
            return Err((PolicyReason::Invalid, message));
        }
        ancestor.governs.push(place);
        ancestor.governs.extend(&juniors);
        self.taken.extend(juniors.into_iter().map(|place| (place, policy)));
        Ok(())
    }

    fn settle_set(
        &mut self,
        policy: &'a Object<P>,
        ancestor: &mut Ancestor<'a>,
        found: Found<'a>,
        (gateway, set): (usize, usize),
    ) -> Result<(), Refusal> {
        if let Some(older) = self.sets.get(&set) {
            return Err(conflict(older, ancestor.kind, ancestor.name));
        }
        let mut places = BTreeSet::new();
        for (number, listener) in self.parents.listeners(found) {
            let Neighbours { elders, siblings: _, juniors } = self.neighbours((gateway, number));
            not_the_first(listener, &elders)?;
            places.insert((gateway, number));
            places.extend(juniors);
        }
        self.sets.insert(set, policy);
        self.settle_rest(ancestor, found, places);
        self.taken.extend(ancestor.governs.iter().map(|place| (*place, policy)));
        Ok(())
    }

    fn settle_gateway(
        &mut self,
        policy: &'a Object<P>,
        ancestor: &mut Ancestor<'a>,
        found: Found<'a>,
        gateway: usize,
    ) -> Result<(), Refusal> {
        if let Some(older) = self.gateways.get(&gateway) {
            return Err(conflict(older, ancestor.kind, ancestor.name));
        }
        self.gateways.insert(gateway, policy);
        let listeners = 0..self.parents.gateways[gateway].listeners.len();
        self.settle_rest(ancestor, found, listeners.map(|number| (gateway, number)).collect());
        Ok(())
    }

    /// Gives what nobody with a narrower target has.
    fn settle_rest(&self, ancestor: &mut Ancestor<'a>, found: Found<'a>, places: BTreeSet<ListenerPlace>) {
        let mut overriding = Vec::new();
        for place in places {
            match self.taken.get(&place) {
                Some(narrower) => {
                    let policy = format!("{}/{}", narrower.id.namespace, narrower.id.name);
                    overriding.push((self.listener(place).name_for(found.owner), policy));
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

    fn listener(&self, (gateway, number): ListenerPlace) -> &'s ListenerState<'a> {
        &self.parents.gateways[gateway].listeners[number]
    }

    fn neighbours(&self, place: ListenerPlace) -> Neighbours<'s, 'a> {
        let mut neighbours = Neighbours { elders: Vec::new(), siblings: Vec::new(), juniors: Vec::new() };
        let mine = self.listener(place);
        if mine.protocol != Some(Protocol::Http) || !mine.is_valid() {
            return neighbours;
        }
        for (number, other) in self.parents.gateways[place.0].listeners.iter().enumerate() {
            if number == place.1 || !other.is_valid() || other.spec.port != mine.spec.port {
                continue;
            }
            if other.owner.id() == mine.owner.id() {
                neighbours.siblings.push(other);
            } else if number < place.1 {
                neighbours.elders.push(other);
            } else {
                neighbours.juniors.push((place.0, number));
            }
        }
        neighbours
    }
}

/// Why a policy is not accepted at a target.
type Refusal = (PolicyReason, String);

/// Fails where others were on the port before: nothing is claimed then, and what holds for them holds.
fn not_the_first(mine: &ListenerState<'_>, elders: &[&ListenerState<'_>]) -> Result<(), Refusal> {
    if elders.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = elders.iter().map(|elder| elder.name_for(mine.owner)).collect();
    let message = format!(
        "Port {} in clear text is shared with {}, which came first, and a connection belongs to all of them: what \
         holds there holds for listener {} too.",
        mine.spec.port,
        names.join(", "),
        mine.spec.name
    );
    Err((PolicyReason::Invalid, message))
}

fn conflict<P: TargetedPolicy>(older: &Object<P>, what: &str, name: &str) -> Refusal {
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
