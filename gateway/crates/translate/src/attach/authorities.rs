use std::sync::Arc;

use ir::Authorities;
use manifest::kind::{LocalObjectReference, ObjectReference};

use crate::{
    grants::{Referent, Referrer},
    index::Index,
};

/// Why a reference to the certificates of authorities leads to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthorityProblem {
    /// It names a kind of objects that has none.
    Kind,
    /// What it names is missing, or has no such certificates.
    Object,
    /// What it names is another namespace's.
    NotPermitted,
}

/// A reference to certificates of authorities.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AuthorityRef<'r> {
    group: &'r str,
    kind: &'r str,
    name: &'r str,
    namespace: Option<&'r str>,
}

impl<'r> From<&'r LocalObjectReference> for AuthorityRef<'r> {
    fn from(reference: &'r LocalObjectReference) -> Self {
        let LocalObjectReference { group, kind, name } = reference;
        Self { group, kind, name, namespace: None }
    }
}

impl<'r> From<&'r ObjectReference> for AuthorityRef<'r> {
    fn from(reference: &'r ObjectReference) -> Self {
        let ObjectReference { group, kind, name, namespace } = reference;
        Self { group, kind, name, namespace: namespace.as_deref() }
    }
}

/// What several references come to together.
#[derive(Debug, Default)]
pub(crate) struct ResolvedAuthorities {
    /// `None`: not one of them is any good.
    pub(crate) authorities: Option<Arc<Authorities>>,
    /// What is wrong with a reference, by its place: sentences.
    pub(crate) problems: Vec<(usize, AuthorityProblem, String)>,
}

impl ResolvedAuthorities {
    /// Of references that stand in one object.
    pub(crate) fn new<'r>(
        referrer: Referrer<'_>,
        references: impl Iterator<Item = AuthorityRef<'r>>,
        index: &Index<'_>,
    ) -> Self {
        let mut resolved = Self::default();
        let mut all: Option<Authorities> = None;
        for (place, reference) in references.enumerate() {
            match authorities(referrer, reference, index) {
                Ok(more) => all = Some(all.map_or_else(|| more.clone(), |all| all.with(&more))),
                Err((problem, message)) => resolved.problems.push((place, problem, message)),
            }
        }
        resolved.authorities = all.map(Arc::new);
        resolved
    }

    /// What is wrong with all of them, in sentences.
    pub(crate) fn message(&self) -> String {
        let messages: Vec<&str> = self.problems.iter().map(|(.., message)| message.as_str()).collect();
        messages.join(" ")
    }
}

fn authorities(
    referrer: Referrer<'_>,
    reference: AuthorityRef<'_>,
    index: &Index<'_>,
) -> Result<Authorities, (AuthorityProblem, String)> {
    let AuthorityRef { group, kind, name, namespace } = reference;
    if !group.is_empty() || !matches!(kind, "ConfigMap" | "Secret") {
        let message = format!(
            "Certificates of authorities are in a ConfigMap or Secret of the core group, not in {kind} of group \
             `{group}`."
        );
        return Err((AuthorityProblem::Kind, message));
    }
    let namespace = namespace.unwrap_or(referrer.namespace);
    let referent = Referent { group, kind, namespace, name };
    index.grants.permit(referrer, referent).map_err(|message| (AuthorityProblem::NotPermitted, message))?;
    let key = (namespace, name);
    let (absence, value) = if kind == "Secret" {
        let found = index.secrets.get(&key).map(|secret| secret.spec.value("ca.crt"));
        (found.is_none().then(|| index.absence(&index.secrets, key)), found.flatten())
    } else {
        let found = index.config_maps.get(&key).map(|map| map.spec.value("ca.crt"));
        (found.is_none().then(|| index.absence(&index.config_maps, key)), found.flatten())
    };
    let source = format!("{kind} {namespace}/{name}");
    let bundle = match (absence, value) {
        (Some(absence), _) => Err(absence),
        (None, None) => Err(format!("{source} has no key `ca.crt`.")),
        (None, Some(value)) => {
            Authorities::from_pem(&source, value).map_err(|error| format!("{source}: `ca.crt` {error}."))
        }
    };
    bundle.map_err(|message| (AuthorityProblem::Object, message))
}
