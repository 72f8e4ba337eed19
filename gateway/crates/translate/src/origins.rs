use std::collections::BTreeMap;

use ir::{ListenerId, Protocol};
use manifest::{
    Object, ObjectId, Origin,
    kind::{self, ClientTrafficPolicy},
};

use crate::{
    attach::GatewayState,
    build::{ApplianceState, Governing, listener_id},
    index::InForce,
};

/// Where that was set which a connection meets and which is no limit of a listener's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins {
    /// `spec.maxConnections` of the Appliance in force, if it is set.
    pub max_connections: Option<Setting>,
    /// `spec.proxyProtocol.trustedSenders` of the Appliance in force, if it is set.
    pub trusted_senders: Option<Setting>,
    /// Each listener that is served, in its Gateway or ListenerSet.
    pub listeners: BTreeMap<ListenerId, Setting>,
    /// `spec.proxyProtocol` of the ClientTrafficPolicy that governs a listener.
    pub proxy_protocol: BTreeMap<ListenerId, Setting>,
}

/// A field that is set, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Whose.
    pub object: ObjectId,
    /// From its root.
    pub field: String,
    /// Its place.
    pub origin: Origin,
}

impl Origins {
    /// Of what is served.
    pub(crate) fn new(
        appliances: &[ApplianceState<'_>],
        gateways: &[GatewayState<'_>],
        governing: &Governing<'_, '_>,
    ) -> Self {
        let appliance = appliances.iter().find(|state| state.conflict.is_none()).map(|state| state.object);
        let appliance = appliance.and_then(InForce::of);
        let set = |field: &str, is_set: fn(&kind::Appliance) -> bool| {
            appliance.filter(|appliance| is_set(appliance.spec)).map(|it| Setting::of(it.object, field))
        };
        let mut origins = Self {
            max_connections: set("spec.maxConnections", |spec| spec.max_connections.is_some()),
            trusted_senders: set("spec.proxyProtocol.trustedSenders", |spec| {
                spec.proxy_protocol.as_ref().is_some_and(|proxy| proxy.trusted_senders.is_some())
            }),
            ..Self::default()
        };
        for (place, gateway) in gateways.iter().enumerate() {
            let served = gateway.listeners.iter().enumerate().filter(|(_, state)| state.is_programmed());
            for (number, state) in served {
                let id = listener_id(gateway, state);
                let (owner, field) = (state.owner, state.path());
                let origin = owner.field_origin(&field);
                let setting = Setting { object: owner.id().clone(), field, origin };
                origins.listeners.insert(id.clone(), setting);
                let is_tls = state.protocol == Some(Protocol::Https);
                let policy = governing.client_in_force((place, number), is_tls);
                let policy = policy.and_then(|(object, _)| InForce::of(object));
                let field = policy.and_then(|policy| proxy_protocol_field(policy.spec));
                if let (Some(policy), Some(field)) = (policy, field) {
                    origins.proxy_protocol.insert(id, Setting::of(policy.object, field));
                }
            }
        }
        origins
    }
}

impl Setting {
    fn of<T>(object: &Object<T>, field: &str) -> Self {
        Self { object: object.id.clone(), field: field.to_owned(), origin: object.field_origin(field) }
    }
}

/// The field that asks for PROXY headers: the newer one goes before the deprecated one.
fn proxy_protocol_field(spec: &ClientTrafficPolicy) -> Option<&'static str> {
    let older = spec.enable_proxy_protocol == Some(true);
    match spec.proxy_protocol {
        Some(_) => Some("spec.proxyProtocol"),
        None => older.then_some("spec.enableProxyProtocol"),
    }
}
