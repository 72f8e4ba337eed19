use std::{net::IpAddr, sync::Arc};

use manifest::{Diagnostic, ManifestSet};

use crate::{
    attach::{Classes, Policies, gateways, routes},
    build::{ClientPolicies, ConnectionPolicies, Governing, Upstreams, appliances, backends, binds, rules},
    index::Index,
    limits::EffectiveLimit,
    origins::Origins,
    report::Report,
    status::{Findings, Statuses, documents},
    translator::Memory,
};

/// What translation must know of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// What decides which connections are served, by listener, and who has said so.
    pub limits: Vec<EffectiveLimit>,
    /// Where the rest was set that a connection meets.
    pub origins: Origins,
    /// What is wrong, or worth knowing, the loader's diagnostics included. Sorted by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Translates. Pure: depends on nothing but its arguments, and not on the order of objects in the set.
pub fn translate(set: &ManifestSet, facts: &HostFacts) -> Translation {
    translated(set, facts, &mut Memory::default())
}

/// [`translate`], sparing what is known already.
pub(crate) fn translated(set: &ManifestSet, facts: &HostFacts, memory: &mut Memory) -> Translation {
    let mut report = Report::default();
    let index = Index::new(set);
    let (appliance, appliances) = appliances(set, &mut report);

    let classes = Classes::new(set, &appliance, &mut report);
    let gateways = gateways(set, &index, &classes, &appliance.addresses, facts, &mut report);
    let policies = Policies::new(&set.client_traffic_policies, &gateways, &index, &mut report);
    let connection_policies = Policies::new(&set.connection_policies, &gateways, &index, &mut report);
    let routes = routes(set, &gateways, &index, &mut report);

    let mut clients = ClientPolicies::new(&policies, &mut report);
    let mut connections = ConnectionPolicies::new(&connection_policies, &mut report);
    let mut upstreams = Upstreams::new(&index);
    let (rules, said): (Vec<_>, Vec<_>) = routes
        .iter()
        .map(|state| match memory.rules(state) {
            Some((rules, said)) => {
                report.repeat(said);
                (rules, said.to_vec())
            }
            None => {
                let before = report.len();
                let rules = Arc::new(rules(state.route, &mut upstreams, &mut report));
                (rules, report.since(before).to_vec())
            }
        })
        .unzip();
    let mut governing = Governing {
        client: &policies,
        clients: &mut clients,
        connection: &connection_policies,
        connections: &mut connections,
    };
    let binds = binds(&gateways, &mut governing, &routes, &rules, &mut report);
    let limits = governing.limits(&gateways);
    let origins = Origins::new(&appliances, &gateways, &governing);

    let backends = backends(set);
    let (statuses, of_routes) = documents(&Findings {
        classes: classes.0.values().collect(),
        gateways: &gateways,
        policies: &policies,
        clients: &clients,
        connection_policies: &connection_policies,
        connections: &connections,
        routes: &routes,
        rules: &rules,
        backends: &backends,
        appliances: &appliances,
        memory,
    });
    for (((state, rules), said), status) in routes.iter().zip(&rules).zip(said).zip(&of_routes) {
        memory.keep(state, rules, said, status.as_ref());
    }
    let diagnostics = report.finish(set.diagnostics.clone());
    Translation { gateway: ir::Gateway { appliance, binds }, statuses, limits, origins, diagnostics }
}
