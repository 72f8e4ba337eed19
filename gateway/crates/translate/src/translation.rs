use std::net::IpAddr;

use manifest::{Diagnostic, ManifestSet};

use crate::{
    attach::{Classes, Policies, gateways, routes},
    build::{ClientPolicies, ConnectionPolicies, Governing, Upstreams, appliances, backends, binds, rules},
    index::Index,
    limits::EffectiveLimit,
    origins::Origins,
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
    /// What decides which connections are served, by listener, and who has said so.
    pub limits: Vec<EffectiveLimit>,
    /// Where the rest was set that a connection meets.
    pub origins: Origins,
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
    let policies = Policies::new(&set.client_traffic_policies, &gateways, &index, &mut report);
    let connection_policies = Policies::new(&set.connection_policies, &gateways, &index, &mut report);
    let routes = routes(set, &gateways, &index, &mut report);

    let mut clients = ClientPolicies::new(&policies, &mut report);
    let mut connections = ConnectionPolicies::new(&connection_policies, appliance.kernel.mode, &mut report);
    let mut upstreams = Upstreams::new(&index);
    let rules: Vec<_> = routes.iter().map(|state| rules(state.route, &mut upstreams, &mut report)).collect();
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
    let statuses = documents(&Findings {
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
    });
    let diagnostics = report.finish(set.diagnostics.clone());
    Translation { gateway: ir::Gateway { appliance, binds }, statuses, limits, origins, diagnostics }
}
