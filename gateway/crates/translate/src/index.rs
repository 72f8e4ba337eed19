use std::collections::BTreeMap;

use manifest::{
    ManifestSet, Object, Timestamp,
    kind::{Backend, EndpointSlice, Gateway, Namespace, Secret, Service},
};

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
    pub(crate) secrets: Named<'a, Secret>,
    pub(crate) services: Named<'a, Service>,
    pub(crate) backends: Named<'a, Backend>,
    pub(crate) namespaces: BTreeMap<&'a str, &'a Object<Namespace>>,
    /// By namespace and name of the Service that they belong to.
    pub(crate) slices: BTreeMap<Key<'a>, Vec<&'a EndpointSlice>>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(set: &'a ManifestSet) -> Self {
        let mut slices: BTreeMap<Key<'_>, Vec<&EndpointSlice>> = BTreeMap::new();
        for object in &set.endpoint_slices {
            if let (Some(service), Some(slice)) =
                (object.meta.labels.get("kubernetes.io/service-name"), object.spec.in_force())
            {
                slices.entry((&object.id.namespace, service)).or_default().push(slice);
            }
        }
        Self {
            gateways: named(&set.gateways),
            secrets: named(&set.secrets),
            services: named(&set.services),
            backends: named(&set.backends),
            namespaces: set.namespaces.iter().map(|object| (&*object.id.name, object)).collect(),
            slices,
        }
    }
}

fn named<T>(objects: &[Object<T>]) -> Named<'_, T> {
    objects.iter().filter_map(InForce::of).map(|object| (object.key(), object)).collect()
}

/// The names that a namespace has, for messages.
pub(crate) fn names_in<'a, T>(objects: &Named<'a, T>, namespace: &str) -> Vec<&'a str> {
    objects.keys().filter(|(other, _)| *other == namespace).map(|(_, name)| *name).collect()
}
