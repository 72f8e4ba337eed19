use manifest::kind::{GATEWAY_GROUP, Gateway, Kind, ListenerSet};

use super::{GatewayState, ListenerState, Owner, SetState};
use crate::index::{Index, Key};

/// What has listeners, and is ours: routes are attached to it, policies target it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parents<'s, 'a> {
    /// From the oldest to the youngest.
    pub(crate) gateways: &'s [GatewayState<'a>],
    /// From the oldest to the youngest.
    pub(crate) sets: &'s [SetState<'a>],
}

/// What a name leads to.
pub(super) enum Search<'a> {
    Found(Found<'a>),
    /// It is another controller's, which will say what there is to say.
    Foreign,
    /// There is none; a sentence.
    Absent(String),
    /// What is of that kind has no listeners.
    OtherKind,
}

/// One of the parents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found<'a> {
    pub(super) owner: Owner<'a>,
    /// Its Gateway, which it may be itself. `None`: a ListenerSet whose Gateway there is not.
    pub(super) gateway: Option<usize>,
    /// Which ListenerSet it is, if it is one.
    pub(super) set: Option<usize>,
}

impl<'s, 'a> Parents<'s, 'a> {
    pub(super) fn find(self, (group, kind): (&str, &str), key: Key<'_>, index: &Index<'a>) -> Search<'a> {
        if group != GATEWAY_GROUP {
            return Search::OtherKind;
        }
        let (found, absence) = match kind {
            Gateway::KIND => {
                let place = self.gateways.iter().position(|gateway| gateway.key() == key);
                let found = place.map(|place| Found {
                    owner: self.gateways[place].owner(),
                    gateway: Some(place),
                    set: None,
                });
                (found, (!index.gateways.contains_key(&key)).then(|| index.absence(&index.gateways, key)))
            }
            ListenerSet::KIND => {
                let place = self.sets.iter().position(|set| set.key() == key);
                let found = place.map(|place| Found {
                    owner: Owner::Set(self.sets[place].set.object),
                    gateway: self.sets[place].gateway,
                    set: Some(place),
                });
                (
                    found,
                    (!index.listener_sets.contains_key(&key))
                        .then(|| index.absence(&index.listener_sets, key)),
                )
            }
            _ => return Search::OtherKind,
        };
        match (found, absence) {
            (Some(found), _) => Search::Found(found),
            (None, Some(absence)) => Search::Absent(absence),
            (None, None) => Search::Foreign,
        }
    }

    /// The listeners of one parent, each with its place in its Gateway; none of a ListenerSet that is no part of one.
    pub(super) fn listeners(self, found: Found<'a>) -> Vec<(usize, &'s ListenerState<'a>)> {
        match (found.gateway, found.set) {
            (_, Some(set)) => self.sets[set].listeners(self.gateways).collect(),
            (Some(gateway), None) => self.gateways[gateway].own_listeners().iter().enumerate().collect(),
            (None, None) => Vec::new(),
        }
    }

    /// Why a ListenerSet is no part of a Gateway.
    pub(super) fn refusal(self, found: Found<'a>) -> Option<&'s str> {
        let (_, message) = self.sets[found.set?].refusal.as_ref()?;
        Some(message)
    }
}
