use std::{cell::Cell, collections::BTreeMap};

use manifest::{
    ManifestSet, Object, SpecState, Timestamp, did_you_mean,
    kind::{
        Backend, ConfigMap, EndpointSlice, Gateway, Kind, LabelSelector, ListenerSet, Namespace, Secret,
        Service,
    },
};

use crate::{grants::Grants, report::ended};

/// Namespace and name.
pub(crate) type Key<'a> = (&'a str, &'a str);

/// Objects by namespace and name. Refused objects are not in it: they are as if absent.
pub(crate) type Named<'a, T> = BTreeMap<Key<'a>, InForce<'a, T>>;

/// An object and the spec that is in force.
#[derive(Debug)]
pub(crate) struct InForce<'a, T> {
    pub(crate) object: &'a Object<T>,
    pub(crate) spec: &'a T,
}

impl<T> Clone for InForce<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for InForce<'_, T> {}

impl<'a, T> InForce<'a, T> {
    pub(crate) fn of(object: &'a Object<T>) -> Option<Self> {
        object.spec.in_force().map(|spec| Self { object, spec })
    }

    pub(crate) fn key(&self) -> Key<'a> {
        key(self.object)
    }
}

/// The namespace and name of an object.
pub(crate) fn key<T>(object: &Object<T>) -> Key<'_> {
    (&object.id.namespace, &object.id.name)
}

/// Age, then namespace, then name: how Gateway API settles a dispute. Never the order of files.
pub(crate) fn seniority<T>(object: &Object<T>) -> (Timestamp, Key<'_>) {
    (object.meta.created, key(object))
}

/// What references point to.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    pub(crate) gateways: Named<'a, Gateway>,
    pub(crate) listener_sets: Named<'a, ListenerSet>,
    pub(crate) secrets: Named<'a, Secret>,
    pub(crate) config_maps: Named<'a, ConfigMap>,
    pub(crate) services: Named<'a, Service>,
    pub(crate) backends: Named<'a, Backend>,
    pub(crate) grants: Grants<'a>,
    pub(crate) namespaces: BTreeMap<&'a str, &'a Object<Namespace>>,
    /// By namespace and name of the Service that they belong to.
    pub(crate) slices: BTreeMap<Key<'a>, Vec<&'a EndpointSlice>>,
    /// What was refused and never was good, by kind, each with the reason.
    refused: BTreeMap<(&'static str, Key<'a>), &'a str>,
    /// How many more absences are explained with the nearest name: it is looked for among all.
    hints: Cell<u32>,
}

/// Nobody reads more hints than this, and ten thousand of them over ten thousand names take minutes.
const HINTS: u32 = 64;

impl<'a> Index<'a> {
    pub(crate) fn new(set: &'a ManifestSet) -> Self {
        let mut slices: BTreeMap<Key<'_>, Vec<&EndpointSlice>> = BTreeMap::new();
        let mut sorted: Vec<_> = set.endpoint_slices.iter().collect();
        sorted.sort_by_key(|slice| key(slice));
        for object in sorted {
            if let (Some(service), Some(slice)) =
                (object.meta.labels.get("kubernetes.io/service-name"), object.spec.in_force())
            {
                slices.entry((&object.id.namespace, service)).or_default().push(slice);
            }
        }
        let mut refused = BTreeMap::new();
        note_refused(&set.gateways, &mut refused);
        note_refused(&set.listener_sets, &mut refused);
        note_refused(&set.secrets, &mut refused);
        note_refused(&set.config_maps, &mut refused);
        note_refused(&set.services, &mut refused);
        note_refused(&set.backends, &mut refused);
        Self {
            gateways: named(&set.gateways),
            listener_sets: named(&set.listener_sets),
            secrets: named(&set.secrets),
            config_maps: named(&set.config_maps),
            services: named(&set.services),
            backends: named(&set.backends),
            grants: Grants::new(set),
            namespaces: set.namespaces.iter().map(|object| (&*object.id.name, object)).collect(),
            slices,
            refused,
            hints: Cell::new(HINTS),
        }
    }

    /// What is to be said of an object that a reference names and that is not in force: a sentence.
    pub(crate) fn absence<T: Kind>(&self, objects: &Named<'_, T>, (namespace, name): Key<'_>) -> String {
        let kind = T::KIND;
        if let Some(why) = self.refused.get(&(kind, (namespace, name))) {
            return ended(format!("{kind} {namespace}/{name} is refused and never was good: {why}"));
        }
        let hint = if self.take_hint() { hint(objects, (namespace, name)) } else { String::new() };
        ended(format!("There is no {kind} {namespace}/{name}{hint}"))
    }

    /// Whether a selector of namespaces selects one.
    pub(crate) fn selects(&self, selector: &LabelSelector, namespace: &str) -> bool {
        // A namespace without an object of its own has the one label that every namespace has.
        let mut labels =
            self.namespaces.get(namespace).map(|object| object.meta.labels.clone()).unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
        selector.matches(&labels)
    }

    fn take_hint(&self) -> bool {
        let left = self.hints.get();
        self.hints.set(left.saturating_sub(1));
        left > 0
    }
}

fn hint<T>(objects: &Named<'_, T>, (namespace, name): Key<'_>) -> String {
    let nearest = did_you_mean(name, names_in(objects, namespace));
    if !nearest.is_empty() {
        return nearest;
    }
    let namesake = objects.keys().find(|(_, other)| *other == name);
    namesake.map_or_else(String::new, |(elsewhere, _)| format!("; there is one in namespace {elsewhere}"))
}

fn note_refused<'a, T: Kind>(
    objects: &'a [Object<T>],
    refused: &mut BTreeMap<(&'static str, Key<'a>), &'a str>,
) {
    for object in objects {
        if let SpecState::Refused(why) = &object.spec {
            refused.insert((T::KIND, key(object)), why);
        }
    }
}

fn named<T>(objects: &[Object<T>]) -> Named<'_, T> {
    objects.iter().filter_map(InForce::of).map(|object| (object.key(), object)).collect()
}

/// The names that a namespace has, for messages.
fn names_in<'a, T>(objects: &Named<'a, T>, namespace: &str) -> Vec<&'a str> {
    objects.keys().filter(|(other, _)| *other == namespace).map(|(_, name)| *name).collect()
}
