use ir::{ClientSettings, ConnectionRules, ListenerId, PolicyName, PolicyNames, Protocol, SourceKey};
use manifest::{
    Object, ObjectId, Severity,
    kind::{ClientTrafficPolicy, ConnectionPolicy as ConnectionPolicyKind, Kind},
};

use super::{ClientPolicies, ClientPolicy, ConnectionPolicies, Remarks, connection::ConnectionPolicy};
use crate::{
    attach::{GatewayState, ListenerPlace, ListenerState, Policies},
    limits::{self, EffectiveLimit},
    report::{Report, line},
    status::{PolicyReason, Reason},
};

/// The policies that govern listeners: where each is attached, and what it comes to.
pub(crate) struct Governing<'p, 'a> {
    pub(crate) client: &'p Policies<'a, ClientTrafficPolicy>,
    pub(crate) clients: &'p mut ClientPolicies,
    pub(crate) connection: &'p Policies<'a, ConnectionPolicyKind>,
    pub(crate) connections: &'p mut ConnectionPolicies,
}

impl Governing<'_, '_> {
    /// The client policy of a listener.
    pub(super) fn client_of(&self, listener: ListenerPlace) -> Option<&ClientPolicy> {
        self.client.effective.get(&listener).map(|place| &self.clients.0[*place])
    }

    /// The connection policy of a listener.
    pub(super) fn connection_of(&self, listener: ListenerPlace) -> Option<&ConnectionPolicy> {
        self.connection.effective.get(&listener).map(|place| &self.connections.0[*place])
    }

    /// The client policy that has a say on a listener: one that is no good there has none in anything.
    pub(crate) fn client_in_force(
        &self,
        listener: ListenerPlace,
        is_tls: bool,
    ) -> Option<(&Object<ClientTrafficPolicy>, &ClientPolicy)> {
        let place = *self.client.effective.get(&listener)?;
        let policy = &self.clients.0[place];
        (!policy.remarks.break_listener(is_tls)).then_some((self.client.policies[place].policy, policy))
    }

    /// Likewise, the connection policy.
    pub(super) fn connection_in_force(
        &self,
        listener: ListenerPlace,
        is_tls: bool,
    ) -> Option<(&Object<ConnectionPolicyKind>, &ConnectionPolicy)> {
        let place = *self.connection.effective.get(&listener)?;
        let policy = &self.connections.0[place];
        (!policy.remarks.break_listener(is_tls)).then_some((self.connection.policies[place].policy, policy))
    }

    /// The policies of a listener that have a say there.
    pub(super) fn names(&self, listener: ListenerPlace, is_tls: bool) -> PolicyNames {
        PolicyNames {
            client: self.client_in_force(listener, is_tls).map(|(object, _)| policy_name(&object.id)),
            connection: self.connection_in_force(listener, is_tls).map(|(object, _)| policy_name(&object.id)),
        }
    }

    /// Settings of the socket are the first listener's for the whole port, because they act before anyone knows
    /// which listener is meant.
    pub(super) fn report_shared_sockets(
        &mut self,
        gateway: &GatewayState<'_>,
        places: &[ListenerPlace],
        report: &mut Report,
    ) {
        let Some((first, rest)) = places.split_first() else { return };
        for place in rest {
            let name = |place: &ListenerPlace| gateway.listeners[place.1].name_for(gateway.owner());
            let message = |fields: &[&str]| {
                format!(
                    "Listeners {} and {} share port {}, so what the first one has holds for both: {}.",
                    name(first),
                    name(place),
                    gateway.listeners[place.1].spec.port,
                    fields.join(", ")
                )
            };
            let settings =
                |place| self.client_of(place).map(|policy| policy.settings.clone()).unwrap_or_default();
            let fields = socket_differences(&settings(*first), &settings(*place));
            let blamed = self.client.effective.get(place).or_else(|| self.client.effective.get(first));
            if let (Some(policy), false) = (blamed, fields.is_empty()) {
                let object = self.client.policies[*policy].policy;
                warn(object, &mut self.clients.0[*policy].remarks, message(&fields), report);
            }
            let senders =
                |place| self.connection_of(place).and_then(|policy| policy.rules.trusted_senders.as_ref());
            let differs = senders(*first) != senders(*place);
            let blamed =
                self.connection.effective.get(place).or_else(|| self.connection.effective.get(first));
            if let (Some(policy), true) = (blamed, differs) {
                let object = self.connection.policies[*policy].policy;
                let message = message(&["proxyProtocol.trustedSenders"]);
                warn(object, &mut self.connections.0[*policy].remarks, message, report);
            }
        }
    }

    /// A connection policy that goes by PROXY headers, where none is read.
    pub(super) fn report_missing_headers(
        &mut self,
        gateway: &GatewayState<'_>,
        listener: ListenerPlace,
        report: &mut Report,
    ) {
        let reads = self.client_of(listener).is_some_and(|policy| policy.settings.proxy_protocol.is_some());
        let Some(place) = self.connection.effective.get(&listener).filter(|_| !reads) else { return };
        let fields = header_fields(&self.connections.0[*place].rules);
        if !fields.is_empty() {
            let message = format!(
                "No ClientTrafficPolicy asks for PROXY headers on listener {}, so there is no other source than the \
                 peer: {}.",
                gateway.listeners[listener.1].name_for(gateway.owner()),
                fields.join(", ")
            );
            let object = self.connection.policies[*place].policy;
            warn(object, &mut self.connections.0[*place].remarks, message, report);
        }
    }

    /// What decides which connections are served, sorted by listener.
    pub(crate) fn limits(&self, gateways: &[GatewayState<'_>]) -> Vec<EffectiveLimit> {
        let mut all = Vec::new();
        for (place, gateway) in gateways.iter().enumerate() {
            let served = gateway.listeners.iter().enumerate().filter(|(_, state)| state.is_programmed());
            for (number, state) in served {
                let place = (place, number);
                let is_tls = state.protocol == Some(Protocol::Https);
                let id = listener_id(gateway, state);
                if let Some((object, policy)) = self.client_in_force(place, is_tls) {
                    let rows = limits::of_client(&policy.settings.connection);
                    all.extend(limits::effective(&id, object, rows));
                }
                if let Some((object, policy)) = self.connection_in_force(place, is_tls) {
                    let rows = limits::of_connection(&policy.rules);
                    all.extend(limits::effective(&id, object, rows));
                }
            }
        }
        all.sort_by(|a, b| a.listener.cmp(&b.listener));
        all
    }

    /// True: a policy of the listener is no good, so every request is answered 500.
    pub(super) fn breaks(&self, listener: ListenerPlace, is_tls: bool) -> bool {
        let client = self.client_of(listener).map(|policy| &policy.remarks);
        let connection = self.connection_of(listener).map(|policy| &policy.remarks);
        client.into_iter().chain(connection).any(|remarks| remarks.break_listener(is_tls))
    }
}

/// `namespace/gateway/listener`, and `namespace/gateway/namespace/listenerset/listener`.
pub(crate) fn listener_id(gateway: &GatewayState<'_>, listener: &ListenerState<'_>) -> ListenerId {
    let (namespace, name) = gateway.key();
    let listener = listener.name_for(gateway.owner());
    ListenerId(format!("{namespace}/{name}/{listener}").into())
}

fn policy_name(id: &ObjectId) -> PolicyName {
    PolicyName(format!("{}/{}", id.namespace, id.name).into())
}

fn warn<P: Kind>(object: &Object<P>, remarks: &mut Remarks, message: String, report: &mut Report) {
    report.add(Severity::Warning, object, "spec", PolicyReason::Warnings.text(), line(&message));
    remarks.warnings.push(message);
}

fn socket_differences(a: &ClientSettings, b: &ClientSettings) -> Vec<&'static str> {
    [
        ("tcpKeepalive", a.tcp_keepalive != b.tcp_keepalive),
        ("proxyProtocol", a.proxy_protocol != b.proxy_protocol),
        ("connection.bufferLimit", a.connection.buffer_limit != b.connection.buffer_limit),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect()
}

/// The parts of a policy that only a PROXY header gives a meaning.
fn header_fields(rules: &ConnectionRules) -> Vec<&'static str> {
    let ConnectionRules {
        networks,
        per_source,
        per_prefix,
        source_rate,
        listener_rate,
        trusted_senders,
        tlv_headers,
        action: _,
        dry_run: _,
    } = rules;
    let by_header = |key: SourceKey| key == SourceKey::ProxySource;
    let lists = !networks.deny.is_empty() || !networks.allow.is_empty();
    [
        ("proxyProtocol.trustedSenders", trusted_senders.is_some()),
        ("proxyProtocol.headers", !tlv_headers.is_empty()),
        ("clientCIDRs", lists && by_header(networks.key)),
        ("concurrentConnections.perSource", per_source.is_some_and(|limit| by_header(limit.key))),
        ("concurrentConnections.perPrefix", per_prefix.is_some_and(|limit| by_header(limit.key))),
        ("connectionRate.perListener", listener_rate.is_some_and(|limit| by_header(limit.key))),
        ("connectionRate.perSource", source_rate.is_some_and(|limit| by_header(limit.key))),
    ]
    .into_iter()
    .filter_map(|(field, needs)| needs.then_some(field))
    .collect()
}
