use std::ops::Range;

use manifest::{
    Severity,
    kind::{GATEWAY_GROUP, ListenerNamespacesFrom, ListenerSet},
};

use super::{GatewayState, ListenerState, Owner, conflicts};
use crate::{
    index::{InForce, Index, Key, seniority},
    report::{Report, line},
    status::{ListenerSetReason, Reason},
};

/// A ListenerSet whose Gateway is ours, or nobody's.
#[derive(Debug)]
pub(crate) struct SetState<'a> {
    pub(crate) set: InForce<'a, ListenerSet>,
    /// `None`: there is no such Gateway.
    pub(crate) gateway: Option<usize>,
    /// Accepted is False, and its listeners are no Gateway's.
    pub(crate) refusal: Option<(ListenerSetReason, String)>,
    /// Where its listeners stand among the Gateway's; empty if refused.
    pub(crate) places: Range<usize>,
}

impl<'a> SetState<'a> {
    pub(crate) fn key(&self) -> Key<'a> {
        self.set.key()
    }

    /// Its listeners, each with its place in its Gateway.
    pub(crate) fn listeners<'s>(
        &self,
        gateways: &'s [GatewayState<'a>],
    ) -> impl Iterator<Item = (usize, &'s ListenerState<'a>)> + use<'s, 'a> {
        let all = self.gateway.map(|gateway| gateways[gateway].listeners.as_slice()).unwrap_or_default();
        self.places.clone().zip(&all[self.places.clone()])
    }

    /// Whether its Accepted is True: it is allowed, and a listener of it can be served.
    pub(crate) fn is_accepted(&self, gateways: &[GatewayState<'a>]) -> bool {
        self.refusal.is_none() && self.listeners(gateways).any(|(_, listener)| listener.is_complete())
    }
}

/// Every ListenerSet, from the oldest to the youngest. The listeners of those that are allowed join those of their
/// Gateways, whose own have been judged; who comes later loses where two cannot be side by side.
pub(super) fn join<'a>(
    gateways: &mut [GatewayState<'a>],
    index: &Index<'a>,
    report: &mut Report,
) -> Vec<SetState<'a>> {
    let mut sets: Vec<_> = index.listener_sets.values().copied().collect();
    sets.sort_by_key(|set| seniority(set.object));
    sets.into_iter().filter_map(|set| state(set, gateways, index, report)).collect()
}

/// `None`: its Gateway is left to another controller.
fn state<'a>(
    set: InForce<'a, ListenerSet>,
    gateways: &mut [GatewayState<'a>],
    index: &Index<'a>,
    report: &mut Report,
) -> Option<SetState<'a>> {
    let parent = &set.spec.parent_ref;
    let key = (parent.namespace.as_deref().unwrap_or(&set.object.id.namespace), parent.name.as_str());
    let gateway = gateways.iter().position(|gateway| gateway.key() == key);
    let problem = if (parent.group(), parent.kind()) != (GATEWAY_GROUP, "Gateway") {
        let message = format!("The parent of a ListenerSet is a Gateway, not a {}.", parent.kind());
        Some(("kind", ListenerSetReason::Invalid, message))
    } else {
        match gateway {
            Some(gateway) => refusal(set, &gateways[gateway], index),
            None if index.gateways.contains_key(&key) => return None,
            None => {
                let message = index.absence(&index.gateways, key);
                Some(("name", ListenerSetReason::ParentNotAccepted, message))
            }
        }
    };
    let refusal = problem.map(|(field, reason, message)| {
        let path = format!("spec.parentRef.{field}");
        report.add(Severity::Error, set.object, &path, reason.text(), line(&message));
        (reason, message)
    });
    let mut places = 0..0;
    if let (None, Some(gateway)) = (&refusal, gateway) {
        let all = &mut gateways[gateway].listeners;
        let mut own = ListenerState::all(Owner::Set(set.object), &set.spec.listeners, index, report);
        conflicts::mark_junior(all, &mut own);
        conflicts::mark(&mut own);
        places = all.len()..all.len() + own.len();
        all.append(&mut own);
    }
    Some(SetState { set, gateway, refusal, places })
}

/// Why a set is no part of a Gateway that is ours, and the field of its parent reference that is to blame.
fn refusal(
    set: InForce<'_, ListenerSet>,
    gateway: &GatewayState<'_>,
    index: &Index<'_>,
) -> Option<(&'static str, ListenerSetReason, String)> {
    let (namespace, name) = gateway.key();
    let own = &*set.object.id.namespace;
    let allowed = gateway.gateway.spec.allowed_listeners.as_ref();
    let rule = allowed.and_then(|allowed| allowed.namespaces.as_ref());
    let admitted = match rule.and_then(|rule| rule.from).unwrap_or_default() {
        ListenerNamespacesFrom::All => true,
        ListenerNamespacesFrom::Same => namespace == own,
        ListenerNamespacesFrom::None => false,
        ListenerNamespacesFrom::Selector => {
            let selector = rule.and_then(|rule| rule.selector.as_ref());
            selector.is_some_and(|selector| index.selects(selector, own))
        }
    };
    if !admitted {
        let message = format!(
            "Gateway {namespace}/{name} allows no ListenerSets from namespace {own} (allowedListeners)."
        );
        return Some(("name", ListenerSetReason::NotAllowed, message));
    }
    (!gateway.is_accepted()).then(|| {
        let message = format!("Gateway {namespace}/{name} is not accepted.");
        ("name", ListenerSetReason::ParentNotAccepted, message)
    })
}
