use std::collections::BTreeMap;

use ir::Appliance;
use manifest::{
    ManifestSet, ObjectId, Severity,
    kind::{ENVOY_GATEWAY_GROUP, GatewayClass},
};

use crate::{
    index::{InForce, seniority},
    report::{Report, line},
    status::{ClassReason, Reason},
};

/// A GatewayClass whose controller we are.
#[derive(Debug)]
pub(crate) struct ClassState<'a> {
    pub(crate) class: InForce<'a, GatewayClass>,
    /// `None`: accepted.
    pub(crate) refusal: Option<(ClassReason, String)>,
    pub(crate) warnings: Vec<String>,
}

/// The GatewayClasses that are ours, by name.
#[derive(Debug)]
pub(crate) struct Classes<'a>(pub(crate) BTreeMap<&'a str, ClassState<'a>>);

impl<'a> Classes<'a> {
    /// Per controller name the oldest class is accepted, as Envoy Gateway has it.
    pub(crate) fn new(set: &'a ManifestSet, appliance: &Appliance, report: &mut Report) -> Self {
        let mut classes: Vec<_> = set.gateway_classes.iter().filter_map(InForce::of).collect();
        classes.sort_by_key(|class| seniority(class.object));
        let mut oldest: BTreeMap<&str, &str> = BTreeMap::new();
        let mut ours = BTreeMap::new();
        for class in classes {
            let (name, controller) = (&*class.object.id.name, &*class.spec.controller_name);
            if !appliance.controller_names.iter().any(|ours| ours == controller) {
                let message = format!("`{controller}` is another controller; its Gateways are left alone");
                report.add(Severity::Note, class.object, "spec.controllerName", "ForeignController", message);
                continue;
            }
            let mut warnings = Vec::new();
            let mut refusal = parameters(class.spec, &set.unmodelled, &mut warnings).err();
            if let Some(older) = oldest.get(controller) {
                let message = format!("GatewayClass {older} is older and has the same controller name.");
                refusal = Some((ClassReason::OlderGatewayClassExists, message));
            } else {
                oldest.insert(controller, name);
            }
            if let Some((reason, message)) = &refusal {
                let path = match reason {
                    ClassReason::InvalidParameters => "spec.parametersRef",
                    _ => "spec.controllerName",
                };
                report.add(Severity::Error, class.object, path, reason.text(), line(message));
            }
            ours.insert(name, ClassState { class, refusal, warnings });
        }
        Self(ours)
    }

    /// The controller name of a class that is ours and accepted.
    pub(crate) fn controller(&self, class: &str) -> Option<&'a str> {
        let state = self.0.get(class).filter(|state| state.refusal.is_none())?;
        Some(&state.class.spec.controller_name)
    }
}

/// Parameters of Envoy Gateway configure Envoy, which is not here: they are named and have no effect.
fn parameters(
    class: &GatewayClass,
    unmodelled: &[ObjectId],
    warnings: &mut Vec<String>,
) -> Result<(), (ClassReason, String)> {
    let Some(reference) = &class.parameters_ref else { return Ok(()) };
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    if is_there(unmodelled, &reference.group, &reference.kind, namespace, &reference.name) {
        warnings.push(no_effect("spec.parametersRef", &reference.kind));
        return Ok(());
    }
    let message = format!(
        "There is no {} {namespace}/{} of group {}.",
        reference.kind, reference.name, reference.group
    );
    Err((ClassReason::InvalidParameters, message))
}

/// Whether an EnvoyProxy of that name is there; no other kind of parameters is known.
pub(super) fn is_there(
    unmodelled: &[ObjectId],
    group: &str,
    kind: &str,
    namespace: &str,
    name: &str,
) -> bool {
    (group, kind) == (ENVOY_GATEWAY_GROUP, "EnvoyProxy")
        && unmodelled
            .iter()
            .any(|id| (&*id.group, &*id.kind, &*id.namespace, &*id.name) == (group, kind, namespace, name))
}

pub(super) fn no_effect(path: &str, kind: &str) -> String {
    format!("{path} is not served: {kind} configures another data plane and has no effect here.")
}
