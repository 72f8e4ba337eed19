use std::{collections::HashMap, sync::Arc};

use manifest::{Diagnostic, ManifestSet, Object, SpecState, kind::HttpRoute};

use crate::{
    attach::RouteState,
    build::RouteRules,
    status::ObjectStatus,
    translation::{HostFacts, Translation, translated},
};

/// Translates one set of manifests after another. What it gives is what [`translate`](crate::translate) gives: what it keeps
/// from the last time only spares work. As long as nothing but routes has changed, a route that stands as it stood has the
/// rules and the status that it had.
#[derive(Debug, Default)]
pub struct Translator {
    world: Option<World>,
    routes: HashMap<usize, Kept>,
}

impl Translator {
    /// [`translate`](crate::translate), with what was kept.
    pub fn translate(&mut self, set: &ManifestSet, facts: &HostFacts) -> Translation {
        if !self.world.as_ref().is_some_and(|world| world.is(set, facts)) {
            self.world = Some(World::of(set, facts));
            self.routes.clear();
        }
        let mut memory = Memory { before: std::mem::take(&mut self.routes), kept: HashMap::new() };
        let translation = translated(set, facts, &mut memory);
        self.routes = memory.kept;
        translation
    }
}

/// What is known of routes from the last time, and what is kept for the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    before: HashMap<usize, Kept>,
    kept: HashMap<usize, Kept>,
}

/// What has become of a route.
#[derive(Clone, Debug)]
struct Kept {
    /// Keeps its spec where it is, whose address is the key.
    object: Object<HttpRoute>,
    rules: Arc<RouteRules>,
    said: Vec<Diagnostic>,
    status: Option<Arc<ObjectStatus>>,
}

impl Memory {
    /// The rules of a route as it stands, with what was said of them.
    pub(crate) fn rules(&self, state: &RouteState<'_>) -> Option<(Arc<RouteRules>, &[Diagnostic])> {
        let kept = self.before.get(&key(state)).filter(|kept| is_same(&kept.object, state.route.object))?;
        Some((Arc::clone(&kept.rules), &kept.said))
    }

    /// Its status.
    pub(crate) fn status(
        &self,
        state: &RouteState<'_>,
        rules: &Arc<RouteRules>,
    ) -> Option<Arc<ObjectStatus>> {
        let kept = self.before.get(&key(state)).filter(|kept| Arc::ptr_eq(&kept.rules, rules))?;
        kept.status.clone().filter(|_| may_be_kept(state, rules))
    }

    /// Keeps what has become of a route, unless it depends on more than itself and what is no route: of what is not
    /// there only the first few get a hint, whoever they are.
    pub(crate) fn keep(
        &mut self,
        state: &RouteState<'_>,
        rules: &Arc<RouteRules>,
        said: Vec<Diagnostic>,
        status: Option<&Arc<ObjectStatus>>,
    ) {
        if may_be_kept(state, rules) {
            let object = state.route.object.clone();
            let kept = Kept { object, rules: Arc::clone(rules), said, status: status.cloned() };
            self.kept.insert(key(state), kept);
        }
    }
}

fn key(state: &RouteState<'_>) -> usize {
    std::ptr::from_ref(state.route.spec).addr()
}

fn may_be_kept(state: &RouteState<'_>, rules: &RouteRules) -> bool {
    rules.unresolved.is_empty() && state.parents.iter().all(|parent| parent.refusal.is_none())
}

/// All that is no route. What is compared is what the loader leaves in place as long as a text stands as it stood.
#[derive(Debug)]
struct World {
    set: ManifestSet,
    facts: HostFacts,
}

impl World {
    fn of(set: &ManifestSet, facts: &HostFacts) -> Self {
        let (http_routes, unmodelled, diagnostics) = Default::default();
        let set = ManifestSet { http_routes, unmodelled, diagnostics, ..set.clone() };
        Self { set, facts: facts.clone() }
    }

    fn is(&self, set: &ManifestSet, facts: &HostFacts) -> bool {
        let ManifestSet {
            gateway_classes,
            gateways,
            listener_sets,
            http_routes: _,
            reference_grants,
            namespaces,
            secrets,
            config_maps,
            services,
            endpoint_slices,
            backends,
            backend_tls_policies,
            client_traffic_policies,
            connection_policies,
            appliances,
            unmodelled: _,
            diagnostics: _,
        } = set;
        let known = &self.set;
        self.facts == *facts
            && are_same(&known.gateway_classes, gateway_classes)
            && are_same(&known.gateways, gateways)
            && are_same(&known.listener_sets, listener_sets)
            && are_same(&known.reference_grants, reference_grants)
            && are_same(&known.namespaces, namespaces)
            && are_same(&known.secrets, secrets)
            && are_same(&known.config_maps, config_maps)
            && are_same(&known.services, services)
            && are_same(&known.endpoint_slices, endpoint_slices)
            && are_same(&known.backends, backends)
            && are_same(&known.backend_tls_policies, backend_tls_policies)
            && are_same(&known.client_traffic_policies, client_traffic_policies)
            && are_same(&known.connection_policies, connection_policies)
            && are_same(&known.appliances, appliances)
    }
}

fn are_same<T>(known: &[Object<T>], now: &[Object<T>]) -> bool {
    known.len() == now.len() && known.iter().zip(now).all(|(known, now)| is_same(known, now))
}

fn is_same<T>(known: &Object<T>, now: &Object<T>) -> bool {
    let Object { id, meta, origin, positions, spec, unserved } = now;
    let same_spec = match (&known.spec, spec) {
        (SpecState::Good(known), SpecState::Good(now)) => Arc::ptr_eq(known, now),
        (SpecState::Stale(known, why), SpecState::Stale(now, why_now)) => {
            Arc::ptr_eq(known, now) && why == why_now
        }
        (SpecState::Refused(why), SpecState::Refused(why_now)) => why == why_now,
        _ => false,
    };
    same_spec
        && known.id == *id
        && known.meta == *meta
        && known.origin == *origin
        && known.positions == *positions
        && known.unserved == *unserved
}
