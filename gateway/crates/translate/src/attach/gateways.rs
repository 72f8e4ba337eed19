use manifest::{ManifestSet, Severity, did_you_mean, kind::Gateway};

use super::{
    Addresses, Classes, ClientCertificate, ListenerState, Owner, SetState, addresses, classes,
    client_certificate::client_certificate, client_validation, conflicts, listener_sets, ports,
};
use crate::{
    HostFacts,
    index::{InForce, Index, Key, seniority},
    report::{Report, line},
    status::{GatewayReason, Reason},
};

/// A Gateway of a class that is ours.
#[derive(Debug)]
pub(crate) struct GatewayState<'a> {
    pub(crate) gateway: InForce<'a, Gateway>,
    /// The controller name that its class was given to us by.
    pub(crate) controller: &'a str,
    /// Accepted is False: nothing of it is served.
    pub(crate) refusal: Option<(GatewayReason, String)>,
    pub(crate) addresses: Addresses,
    /// Its own, then those of its ListenerSets, in the order of their right to a port.
    pub(crate) listeners: Vec<ListenerState<'a>>,
    /// `None`: it names none.
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) warnings: Vec<String>,
}

/// Every Gateway that is ours, and every ListenerSet of theirs, each from the oldest to the youngest.
pub(crate) fn gateways<'a>(
    set: &'a ManifestSet,
    index: &Index<'a>,
    classes: &Classes<'a>,
    pool: &[ipnet::IpNet],
    facts: &HostFacts,
    report: &mut Report,
) -> (Vec<GatewayState<'a>>, Vec<SetState<'a>>) {
    let mut ours: Vec<(InForce<'a, Gateway>, &'a str)> = Vec::new();
    for gateway in index.gateways.values() {
        let class = &gateway.spec.gateway_class_name;
        match classes.controller(class) {
            Some(controller) => ours.push((*gateway, controller)),
            None => explain_foreign(set, *gateway, classes, report),
        }
    }
    ours.sort_by_key(|(gateway, _)| seniority(gateway.object));
    let objects: Vec<_> = ours.iter().map(|(gateway, _)| *gateway).collect();
    let addresses = addresses::assign(&objects, pool, facts);
    let mut states: Vec<GatewayState<'a>> = ours
        .into_iter()
        .zip(addresses)
        .map(|((gateway, controller), addresses)| {
            let mut warnings = Vec::new();
            let refusal = refusal(set, gateway, &addresses, &mut warnings);
            let owner = Owner::Gateway(gateway.object);
            let mut listeners = ListenerState::all(owner, &gateway.spec.listeners, index, report);
            conflicts::mark(&mut listeners);
            let client_certificate = client_certificate(gateway, index, report);
            GatewayState { gateway, controller, refusal, addresses, listeners, client_certificate, warnings }
        })
        .collect();
    for state in states.iter_mut().filter(|state| state.refusal.is_some()) {
        state.addresses.bound.clear();
    }
    let sets = listener_sets::join(&mut states, index, report);
    for state in &mut states {
        client_validation::resolve(state.gateway, &mut state.listeners, index, report);
        state.warnings.extend(client_validation::idle_ports(state.gateway.spec, &state.listeners));
        conflicts::mark_overlaps(&mut state.listeners);
    }
    ports::settle(&mut states);
    states.iter().for_each(|state| state.explain(report));
    (states, sets)
}

impl<'a> GatewayState<'a> {
    pub(crate) fn key(&self) -> Key<'a> {
        self.gateway.key()
    }

    pub(crate) fn owner(&self) -> Owner<'a> {
        Owner::Gateway(self.gateway.object)
    }

    /// The listeners of its own manifest: the first ones.
    pub(crate) fn own_listeners(&self) -> &[ListenerState<'a>] {
        &self.listeners[..self.gateway.spec.listeners.len()]
    }

    /// Says with its place what the conditions say.
    fn explain(&self, report: &mut Report) {
        self.listeners.iter().for_each(|listener| listener.explain(report));
        let mut say = |path: &str, reason: &'static str, message: &str| {
            report.add(Severity::Error, self.gateway.object, path, reason, line(message));
        };
        if let Some((reason, message)) = &self.refusal {
            let is_address = *reason == GatewayReason::UnsupportedAddress;
            let path = if is_address { "spec.addresses" } else { "spec.infrastructure.parametersRef" };
            return say(path, reason.text(), message);
        }
        if let Some((reason, message)) = &self.addresses.unusable {
            say("spec.addresses", reason.text(), message);
        }
        for message in &self.warnings {
            let reason = GatewayReason::Warnings.text();
            report.add(Severity::Warning, self.gateway.object, "spec", reason, line(message));
        }
    }

    /// Whether its Accepted is True.
    pub(crate) fn is_accepted(&self) -> bool {
        self.refusal.is_none() && self.own_listeners().iter().any(ListenerState::is_valid)
    }

    /// Whether any of its own listeners serves requests.
    pub(crate) fn is_served(&self) -> bool {
        self.refusal.is_none() && self.own_listeners().iter().any(ListenerState::is_programmed)
    }
}

fn explain_foreign(
    set: &ManifestSet,
    gateway: InForce<'_, Gateway>,
    classes: &Classes<'_>,
    report: &mut Report,
) {
    let class = gateway.spec.gateway_class_name.as_str();
    let names: Vec<&str> = set.gateway_classes.iter().map(|class| &*class.id.name).collect();
    let (severity, message) = if classes.0.contains_key(class) {
        (Severity::Error, format!("GatewayClass {class} is not accepted, so the Gateway is not served"))
    } else if names.contains(&class) {
        (
            Severity::Note,
            format!("GatewayClass {class} belongs to another controller; the Gateway is left alone"),
        )
    } else {
        let hint = did_you_mean(class, names);
        (Severity::Error, format!("there is no GatewayClass {class}{hint}, so the Gateway is not served"))
    };
    report.add(severity, gateway.object, "spec.gatewayClassName", "GatewayClassNotFound", message);
}

fn refusal(
    set: &ManifestSet,
    gateway: InForce<'_, Gateway>,
    addresses: &Addresses,
    warnings: &mut Vec<String>,
) -> Option<(GatewayReason, String)> {
    let parameters = gateway
        .spec
        .infrastructure
        .as_ref()
        .and_then(|infrastructure| infrastructure.parameters_ref.as_ref());
    if let Some(reference) = parameters {
        let namespace = &gateway.object.id.namespace;
        if !classes::is_there(&set.unmodelled, &reference.group, &reference.kind, namespace, &reference.name)
        {
            let message = format!(
                "There is no {} {namespace}/{} of group {}.",
                reference.kind, reference.name, reference.group
            );
            return Some((GatewayReason::InvalidParameters, message));
        }
        warnings.push(classes::no_effect("spec.infrastructure.parametersRef", &reference.kind));
    }
    addresses.unsupported.clone().map(|message| (GatewayReason::UnsupportedAddress, message))
}
