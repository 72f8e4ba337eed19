use std::collections::BTreeSet;

use manifest::{
    Object,
    kind::{BackendTlsPolicy, ClientTrafficPolicy, ConnectionPolicy, Kind, PolicyTargetReference},
};

/// A kind of policy that names its targets.
pub(crate) trait TargetedPolicy: Kind {
    /// Several of the kind.
    const PLURAL: &'static str;
    /// What it is a policy of, for messages.
    const OF: &'static str;

    /// The deprecated single target.
    fn target_ref(&self) -> Option<&PolicyTargetReference>;

    /// The targets.
    fn target_refs(&self) -> &[PolicyTargetReference];
}

impl TargetedPolicy for ClientTrafficPolicy {
    const PLURAL: &'static str = "ClientTrafficPolicies";
    const OF: &'static str = "client";

    fn target_ref(&self) -> Option<&PolicyTargetReference> {
        self.target_ref.as_ref()
    }

    fn target_refs(&self) -> &[PolicyTargetReference] {
        &self.target_refs
    }
}

impl TargetedPolicy for ConnectionPolicy {
    const PLURAL: &'static str = "ConnectionPolicies";
    const OF: &'static str = "connection";

    fn target_ref(&self) -> Option<&PolicyTargetReference> {
        None
    }

    fn target_refs(&self) -> &[PolicyTargetReference] {
        &self.target_refs
    }
}

impl TargetedPolicy for BackendTlsPolicy {
    const PLURAL: &'static str = "BackendTLSPolicies";
    const OF: &'static str = "TLS";

    fn target_ref(&self) -> Option<&PolicyTargetReference> {
        None
    }

    fn target_refs(&self) -> &[PolicyTargetReference] {
        &self.target_refs
    }
}

/// What a policy names, in its own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target<'a> {
    /// Where the reference stands in the policy.
    pub(super) path: String,
    pub(super) group: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) section: Option<&'a str>,
}

/// Every target once, in the policy's order. Of a policy that was refused, what can still be told from its text:
/// its targets are what must not be served as if there were no policy.
pub(super) fn targets<P: TargetedPolicy>(policy: &Object<P>) -> Vec<Target<'_>> {
    let all = match policy.spec.in_force() {
        Some(spec) => of_spec(&**spec),
        None => of_text(policy),
    };
    let mut seen = BTreeSet::new();
    all.into_iter()
        .filter(|target| seen.insert((target.group, target.kind, target.name, target.section)))
        .collect()
}

fn of_spec(spec: &impl TargetedPolicy) -> Vec<Target<'_>> {
    let singular = spec.target_ref().into_iter().map(|target| ("spec.targetRef".to_owned(), target));
    let plural = spec.target_refs().iter().enumerate();
    singular
        .chain(plural.map(|(place, target)| (format!("spec.targetRefs[{place}]"), target)))
        .map(|(path, target)| Target {
            path,
            group: &target.group,
            kind: &target.kind,
            name: &target.name,
            section: target.section_name.as_deref(),
        })
        .collect()
}

fn of_text<P>(policy: &Object<P>) -> Vec<Target<'_>> {
    let at = |path: String| {
        let text = |field: &str| policy.positions.text(&format!("{path}.{field}"));
        let (kind, name, section) = (text("kind")?, text("name")?, text("sectionName"));
        Some(Target { group: text("group").unwrap_or_default(), path, kind, name, section })
    };
    // The schema allows 16.
    let plural = (0..16).map(|place| format!("spec.targetRefs[{place}]"));
    std::iter::once("spec.targetRef".to_owned()).chain(plural).filter_map(at).collect()
}
