use std::{
    any::Any,
    sync::{Arc, LazyLock},
};

use crate::{
    ManifestSet, Object, SpecState,
    kind::{self, FieldError, Kind},
    node::Entry,
    object::Head,
    shape::Shapes,
    typing::{self, TypingError},
};

/// A typed spec of any kind; [`Modelled::place`] knows which.
pub(crate) type Spec = Arc<dyn Any + Send + Sync>;

/// A spec and the rules that it breaks.
pub(crate) type Typed = (Spec, Vec<FieldError>);

/// [`SpecState`] without its type.
pub(crate) enum State {
    Good(Spec),
    Stale(Spec, String),
    Refused(String),
}

/// One of our kinds, without its type.
pub(crate) struct Modelled {
    pub(crate) kind: &'static str,
    pub(crate) group: &'static str,
    pub(crate) versions: &'static [&'static str],
    pub(crate) namespaced: bool,
    pub(crate) core: bool,
    /// The type stands at `spec`; else it is the document.
    pub(crate) at_spec: bool,
    pub(crate) shapes: LazyLock<Shapes>,
    /// As [`schema`] gives it.
    pub(crate) schema: fn() -> serde_json::Value,
    /// Types a spec and applies the rules that span fields.
    pub(crate) read: fn(&[Entry]) -> Result<Typed, Vec<TypingError>>,
    /// Puts an object where it belongs in the set.
    pub(crate) place: fn(&mut ManifestSet, Head, State),
}

impl Modelled {
    /// `gateway.networking.k8s.io/v1`.
    pub(crate) fn api_version(&self) -> String {
        api_version(self.group, self.versions.first().copied().unwrap_or_default())
    }
}

pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// Every kind that we model.
pub(crate) static MODELLED: LazyLock<Vec<Modelled>> = LazyLock::new(|| {
    vec![
        modelled::<kind::GatewayClass>(),
        modelled::<kind::Gateway>(),
        modelled::<kind::ListenerSet>(),
        modelled::<kind::HttpRoute>(),
        modelled::<kind::ReferenceGrant>(),
        modelled::<kind::Namespace>(),
        modelled::<kind::Secret>(),
        modelled::<kind::ConfigMap>(),
        modelled::<kind::Service>(),
        modelled::<kind::EndpointSlice>(),
        modelled::<kind::Backend>(),
        modelled::<kind::BackendTlsPolicy>(),
        modelled::<kind::ClientTrafficPolicy>(),
        modelled::<kind::ConnectionPolicy>(),
        modelled::<kind::Appliance>(),
    ]
});

/// The modelled kind of that name and group.
pub(crate) fn find(group: &str, kind: &str) -> Option<&'static Modelled> {
    MODELLED.iter().find(|modelled| modelled.kind == kind && modelled.group == group)
}

/// The JSON Schema of a modelled kind's spec (of the whole document for kinds without one), with the
/// documentation of each field and, under [`kind::UNSERVED`], why it is not served.
pub fn schema<T: Kind>() -> serde_json::Value {
    schemars::schema_for!(T).to_value()
}

fn modelled<T: Slot>() -> Modelled {
    Modelled {
        kind: T::KIND,
        group: T::GROUP,
        versions: T::VERSIONS,
        namespaced: T::NAMESPACED,
        core: T::CORE,
        at_spec: T::SPEC,
        shapes: LazyLock::new(Shapes::of::<T>),
        schema: schema::<T>,
        read: |entries| {
            let spec: T = typing::typed(entries)?;
            let errors = spec.check();
            Ok((Arc::new(spec), errors))
        },
        place: |set, head, state| {
            let spec = match state {
                State::Good(spec) => spec.downcast::<T>().map(SpecState::Good),
                State::Stale(spec, why) => spec.downcast::<T>().map(|spec| SpecState::Stale(spec, why)),
                State::Refused(why) => Ok(SpecState::Refused(why)),
            };
            if let Ok(spec) = spec {
                T::slot(set).push(Object {
                    id: head.id,
                    meta: head.meta,
                    origin: head.origin,
                    positions: head.positions,
                    spec,
                    unserved: head.unserved,
                });
            }
        },
    }
}

/// Where the objects of a kind stand in a set.
trait Slot: Kind {
    fn slot(set: &mut ManifestSet) -> &mut Vec<Object<Self>>;
}

macro_rules! slots {
    ($($kind:ident: $field:ident),* $(,)?) => {
        $(impl Slot for kind::$kind {
            fn slot(set: &mut ManifestSet) -> &mut Vec<Object<Self>> {
                &mut set.$field
            }
        })*

        /// Sorts each kind by name.
        pub(crate) fn sort(set: &mut ManifestSet) {
            $(set.$field.sort_by(|a, b| a.id.cmp(&b.id));)*
        }
    };
}

slots! {
    GatewayClass: gateway_classes,
    Gateway: gateways,
    ListenerSet: listener_sets,
    HttpRoute: http_routes,
    ReferenceGrant: reference_grants,
    Namespace: namespaces,
    Secret: secrets,
    ConfigMap: config_maps,
    Service: services,
    EndpointSlice: endpoint_slices,
    Backend: backends,
    BackendTlsPolicy: backend_tls_policies,
    ClientTrafficPolicy: client_traffic_policies,
    ConnectionPolicy: connection_policies,
    Appliance: appliances,
}
