use std::{net::IpAddr, sync::Arc};

use manifest::{Diagnostic, ManifestSet};

use crate::{
    attach::{BackendPolicies, Classes, Parents, Policies, gateways, routes},
    build::{
        BackendTls, ClientPolicies, ConnectionPolicies, Governing, Upstreams, appliances, backends, binds,
        rules,
    },
    index::Index,
    limits::EffectiveLimit,
    origins::Origins,
    report::Report,
    services::{GatewayService, services},
    status::{Findings, Statuses, documents},
};

/// What translation must know of the host.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    /// Addresses of its interfaces. `None`: not known (manifests of another machine are checked), so that every
    /// address counts as present.
    pub addresses: Option<Vec<IpAddr>>,
    /// The authorities that it trusts. `None`: there are none.
    pub authorities: Option<Arc<ir::Authorities>>,
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
    /// What each Gateway that is served is to those around it.
    pub services: Vec<GatewayService>,
    /// What is wrong, or worth knowing, the loader's diagnostics included. Sorted by file and place.
    pub diagnostics: Vec<Diagnostic>,
}

/// Translates. Pure: depends on nothing but its arguments, and not on the order of objects in the set.
pub fn translate(set: &ManifestSet, facts: &HostFacts) -> Translation {
    let mut report = Report::default();
    let index = Index::new(set);
    let (appliance, appliances) = appliances(set, &mut report);

    let classes = Classes::new(set, &appliance, &mut report);
    let (gateways, sets) = gateways(set, &index, &classes, &appliance.addresses, facts, &mut report);
    let parents = Parents { gateways: &gateways, sets: &sets };
    let policies = Policies::new(&set.client_traffic_policies, parents, &index, &mut report);
    let connection_policies = Policies::new(&set.connection_policies, parents, &index, &mut report);
    let routes = routes(set, parents, &index, &mut report);

    let mut clients = ClientPolicies::new(&policies, &mut report);
    let mut connections = ConnectionPolicies::new(&connection_policies, appliance.kernel.mode, &mut report);
    let backend_policies = BackendPolicies::new(&set.backend_tls_policies, &routes, &index, &mut report);
    let backend_tls = BackendTls::new(&backend_policies, &index, facts, &mut report);
    let mut upstreams = Upstreams::new(&index, &backend_tls);
    let rules: Vec<_> = routes.iter().map(|state| rules(state.route, &mut upstreams, &mut report)).collect();
    let mut governing = Governing {
        client: &policies,
        clients: &mut clients,
        connection: &connection_policies,
        connections: &mut connections,
    };
    let binds = binds(&gateways, &mut governing, &routes, &rules, &mut upstreams, &mut report);
    let limits = governing.limits(&gateways);
    let origins = Origins::new(&appliances, &gateways, &governing, set);

    let services = services(&gateways, &binds);

    let backends = backends(set, &backend_tls);
    let statuses = documents(&Findings {
        classes: classes.0.values().collect(),
        gateways: &gateways,
        sets: &sets,
        policies: &policies,
        clients: &clients,
        connection_policies: &connection_policies,
        connections: &connections,
        backend_policies: &backend_policies,
        backend_tls: &backend_tls.states,
        routes: &routes,
        rules: &rules,
        backends: &backends,
        appliances: &appliances,
    });
    let diagnostics = report.finish(set.diagnostics.clone());
    Translation {
        gateway: ir::Gateway { appliance, binds },
        statuses,
        limits,
        origins,
        services,
        diagnostics,
    }
}
