use std::collections::BTreeMap;

use manifest::{
    ManifestSet, Object,
    kind::{Kind, ReferenceGrant, ReferenceGrantFrom, ReferenceGrantTo},
};

/// What refers to something: the `from` of a grant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referrer<'r> {
    /// Empty for the core group.
    pub(crate) group: &'r str,
    pub(crate) kind: &'r str,
    pub(crate) namespace: &'r str,
}

impl<'r> Referrer<'r> {
    /// An object that holds a reference.
    pub(crate) fn of<T: Kind>(object: &'r Object<T>) -> Self {
        Self { group: T::GROUP, kind: T::KIND, namespace: &object.id.namespace }
    }
}

/// What is referred to, its defaults filled in: the `to` of a grant, and the grant's namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Referent<'r> {
    /// Empty for the core group.
    pub(crate) group: &'r str,
    pub(crate) kind: &'r str,
    pub(crate) namespace: &'r str,
    pub(crate) name: &'r str,
}

/// Every ReferenceGrant in force, by its namespace.
#[derive(Debug)]
pub(crate) struct Grants<'a>(BTreeMap<&'a str, Vec<&'a ReferenceGrant>>);

impl<'a> Grants<'a> {
    pub(crate) fn new(set: &'a ManifestSet) -> Self {
        let mut grants: BTreeMap<&str, Vec<&ReferenceGrant>> = BTreeMap::new();
        for object in &set.reference_grants {
            if let Some(grant) = object.spec.in_force() {
                grants.entry(&object.id.namespace).or_default().push(grant);
            }
        }
        Self(grants)
    }

    /// Whether a reference may be followed: it stays in its namespace, or a ReferenceGrant where it leads permits it
    /// (GEP-709). Fails with the sentence for the condition whose reason is `RefNotPermitted`. Nothing is said of
    /// whether the referent exists: who may not refer to it shall not learn that.
    pub(crate) fn permit(&self, from: Referrer<'_>, to: Referent<'_>) -> Result<(), String> {
        let here = self.0.get(to.namespace).map(Vec::as_slice).unwrap_or_default();
        if from.namespace == to.namespace || here.iter().any(|grant| permits(grant, from, to)) {
            return Ok(());
        }
        Err(format!(
            "{} {}/{} is in another namespace, and no ReferenceGrant there permits its use by any {} of namespace {}.",
            to.kind, to.namespace, to.name, from.kind, from.namespace
        ))
    }
}

fn permits(grant: &ReferenceGrant, referrer: Referrer<'_>, referent: Referent<'_>) -> bool {
    let from = |from: &ReferenceGrantFrom| {
        let ReferenceGrantFrom { group, kind, namespace } = from;
        *group == referrer.group && *kind == referrer.kind && *namespace == referrer.namespace
    };
    let to = |to: &ReferenceGrantTo| {
        let ReferenceGrantTo { group, kind, name } = to;
        let is_named = name.as_ref().is_none_or(|name| *name == referent.name);
        *group == referent.group && *kind == referent.kind && is_named
    };
    grant.from.iter().any(from) && grant.to.iter().any(to)
}
