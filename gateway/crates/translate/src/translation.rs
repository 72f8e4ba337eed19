use std::net::IpAddr;

use manifest::{Diagnostic, ManifestSet};

use crate::{
    attach::{Classes, Policies, gateways, routes},
    build::{ClientPolicies, Upstreams, appliances, backends, binds, rules},
    index::Index,
    report::Report,
    status::{Findings, Statuses, documents},
};

/// What translation must know of the host.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    /// Addresses of its interfaces. `None`: not known (manifests of another machine are checked), so that every
    /// address counts as present.
    pub addresses: Option<Vec<IpAddr>>,
}

impl HostFacts {
    /// True if an address can be listened on. The wildcards and all of 127.0.0.0/8 always can.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let anywhere = address.is_unspecified() || (address.is_ipv4() && address.is_loopback());
        anywhere || self.addresses.as_ref().is_none_or(|addresses| addresses.contains(&address))
    }
}

/// What a set of manifests means.
#[derive(Clone, Debug)]
pub struct Translation {
    /// What is served.
    pub gateway: ir::Gateway,
    /// Of every object that is ours and has one.
    pub statuses: Statuses,
    /// What is wrong, or worth knowing, the loader's diagnostics included. Sorted by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Translates. Pure: depends on nothing but its arguments, and not on the order of objects in the set.
pub fn translate(set: &ManifestSet, facts: &HostFacts) -> Translation {
    let mut report = Report::default();
    let index = Index::new(set);
    let (appliance, appliances) = appliances(set, &mut report);

    let classes = Classes::new(set, &appliance, &mut report);
    let gateways = gateways(set, &index, &classes, &appliance.addresses, facts, &mut report);
    let policies = Policies::new(set, &gateways, &index, &mut report);
    let routes = routes(set, &gateways, &index, &mut report);

    let mut clients = ClientPolicies::new(&policies, &mut report);
    let mut upstreams = Upstreams::new(&index);
    let rules: Vec<_> = routes.iter().map(|state| rules(state.route, &mut upstreams, &mut report)).collect();
    let binds = binds(&gateways, &policies, &mut clients, &routes, &rules, &mut report);

    let backends = backends(set);
    let statuses = documents(&Findings {
        classes: classes.0.values().collect(),
        gateways: &gateways,
        policies: &policies,
        clients: &clients,
        routes: &routes,
        rules: &rules,
        backends: &backends,
        appliances: &appliances,
    });
    let diagnostics = report.finish(set.diagnostics.clone());
    Translation { gateway: ir::Gateway { appliance, binds }, statuses, diagnostics }
}
