mod hosts;

use std::{collections::HashMap, ops::Deref, rc::Rc, sync::Arc};

use ipnet::IpNet;
use ir::{
    AccessLogFormat, BindId, ClientSettings, Hostname, ListenerId, Protocol, SocketKey, TlvHeader, UpstreamId,
};

use crate::{
    carry::{Carry, UpstreamState},
    metrics::{ListenerMetrics, ListenerRefusals, UpstreamMetrics},
    route::Router,
    slots::{Gate, Slots},
    sources::TrustedSenders,
    tls::ServerTls,
    upstream::ClientTls,
};
pub(crate) use hosts::HostIndex;

/// Everything that a request needs to know, built once per reload by the main thread and then only read.
pub(crate) struct Snapshot {
    /// Counts up with every published configuration.
    pub(crate) generation: u64,
    /// What it was built from.
    pub(crate) config: Arc<ir::Gateway>,
    /// Most client connections over all listeners.
    pub(crate) max_connections: u64,
    /// How access-log lines look; `None`: no access log.
    pub(crate) access_log: Option<AccessLogFormat>,
    /// What is bound. Referred to by index within one snapshot.
    pub(crate) binds: Vec<Bind>,
    sockets: HashMap<SocketKey, usize>,
}

/// One port of one Gateway.
pub(crate) struct Bind {
    /// Stable over reloads.
    pub(crate) id: BindId,
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// Settings of the time before a listener is known; on a clear-text port those of every listener.
    pub(crate) client: Arc<ClientSettings>,
    /// Whose PROXY headers are believed: as the first listener's connection policy says, else the Appliance.
    pub(crate) trusted_senders: TrustedSenders,
    /// At least one. Referred to by index within one snapshot.
    pub(crate) listeners: Vec<Listener>,
    hosts: HostIndex,
}

/// One listener.
pub(crate) struct Listener {
    /// Stable over reloads.
    pub(crate) id: ListenerId,
    /// `None`: any host.
    pub(crate) hostname: Option<Hostname>,
    /// The effective client policy.
    pub(crate) client: Arc<ClientSettings>,
    /// True: every request is answered 500.
    pub(crate) broken: bool,
    /// Present if and only if the bind's protocol is HTTPS.
    pub(crate) tls: Option<ServerTls>,
    /// Its rules.
    pub(crate) router: Router,
    /// Its connection count. On a clear-text port all listeners share the first one's.
    pub(crate) slots: Arc<dyn Slots>,
    /// Its connection policy at work; `None`: nobody is refused by one. On a clear-text port the first one's holds.
    pub(crate) gate: Option<Gate>,
    /// Request headers that are filled from the PROXY header.
    pub(crate) tlv_headers: Box<[TlvHeader]>,
    /// Its metric handles.
    pub(crate) metrics: Arc<ListenerMetrics>,
    /// Those of its refused connections, by policy.
    pub(crate) refusals: ListenerRefusals,
}

/// An upstream as one snapshot sees it: settings and endpoints of the snapshot, state of `Carry`.
pub(crate) struct Upstream {
    /// Endpoints, protocol and settings.
    pub(crate) config: Arc<ir::Upstream>,
    /// TLS around what is spoken; `None`: in the clear.
    pub(crate) tls: Option<ClientTls>,
    /// What outlives the snapshot.
    pub(crate) state: Arc<UpstreamState>,
    /// Its metric handles.
    pub(crate) metrics: Arc<UpstreamMetrics>,
}

/// What building the parts of one snapshot needs: carried state, and what is shared between parts.
pub(crate) struct Builder<'a> {
    /// Carried state and metrics.
    pub(crate) carry: &'a Carry,
    upstreams: HashMap<UpstreamId, Arc<Upstream>>,
}

impl<'a> Builder<'a> {
    /// For one snapshot.
    pub(crate) fn new(carry: &'a Carry) -> Self {
        Self { carry, upstreams: HashMap::new() }
    }

    /// The upstream of that id, one per snapshot.
    pub(crate) fn upstream(&mut self, config: &Arc<ir::Upstream>) -> Arc<Upstream> {
        let carry = self.carry;
        let entry = self.upstreams.entry(config.id.clone()).or_insert_with(|| {
            Arc::new(Upstream {
                config: Arc::clone(config),
                tls: config.tls.as_ref().map(|tls| ClientTls::build(tls, config.protocol)),
                state: carry.upstream(&config.id),
                metrics: carry.metrics.upstream(&config.name),
            })
        });
        Arc::clone(entry)
    }
}

impl Snapshot {
    /// Builds the tables of a configuration. Cannot fail: every leaf of `ir` is compiled already.
    pub(crate) fn build(config: Arc<ir::Gateway>, carry: &Carry, generation: u64) -> Self {
        let mut builder = Builder::new(carry);
        let senders = &config.appliance.trusted_proxy_senders;
        let binds: Vec<Bind> =
            config.binds.iter().map(|bind| Bind::build(bind, senders, &mut builder)).collect();
        let mut sockets = HashMap::new();
        for (index, bind) in config.binds.iter().enumerate() {
            for key in &bind.sockets {
                // `translate` gives a socket to one bind only; should it not, the first has it.
                sockets.entry(*key).or_insert(index);
            }
        }
        let appliance = &config.appliance;
        Self {
            generation,
            max_connections: appliance.max_connections,
            access_log: appliance.access_log.then_some(appliance.log_format),
            binds,
            sockets,
            config,
        }
    }

    /// The bind that a socket belongs to.
    pub(crate) fn bind_at(&self, key: &SocketKey) -> Option<usize> {
        self.sockets.get(key).copied()
    }
}

impl Bind {
    fn build(bind: &ir::Bind, senders: &[IpNet], builder: &mut Builder<'_>) -> Self {
        let shared = bind.listeners.first().filter(|_| bind.protocol == Protocol::Http);
        let listeners: Vec<Listener> = bind
            .listeners
            .iter()
            .map(|listener| Listener {
                id: listener.id.clone(),
                hostname: listener.hostname.clone(),
                client: Arc::clone(&listener.client),
                broken: listener.broken,
                tls: listener.tls.as_ref().map(ServerTls::build),
                router: Router::build(listener, builder),
                slots: builder.carry.slots(&shared.unwrap_or(listener).id),
                gate: listener.connection.as_ref().and_then(|rules| {
                    Gate::build(rules, || builder.carry.gate(&shared.unwrap_or(listener).id))
                }),
                tlv_headers: listener
                    .connection
                    .as_ref()
                    .map_or_else(Box::default, |rules| rules.tlv_headers.as_slice().into()),
                metrics: builder.carry.metrics.listener(&listener.id),
                refusals: builder.carry.metrics.refusals(&listener.id, &listener.policies),
            })
            .collect();
        let connection = bind.listeners.first().and_then(|listener| listener.connection.as_ref());
        let own_senders = connection.and_then(|rules| rules.trusted_senders.as_deref());
        Self {
            trusted_senders: TrustedSenders::new(own_senders.unwrap_or(senders)),
            id: bind.id.clone(),
            protocol: bind.protocol,
            client: Arc::clone(&bind.client),
            hosts: HostIndex::build(listeners.iter().map(|listener| listener.hostname.as_ref())),
            listeners,
        }
    }

    /// The listener with the most specific hostname that a name falls under. The name is lower case, without
    /// port; `None` (no SNI, no Host) falls only under a listener without hostname.
    pub(crate) fn listener_for(&self, host: Option<&str>) -> Option<usize> {
        self.hosts.find(host)
    }
}

/// A worker's own hold on a snapshot. Cloning it touches no other core.
#[derive(Clone)]
#[expect(
    clippy::redundant_allocation,
    reason = "counting in an Rc is what keeps the Arc's count off the request path"
)]
pub(crate) struct Held(Rc<Arc<Snapshot>>);

impl Held {
    /// Takes hold of a snapshot.
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(Rc::new(snapshot))
    }
}

impl Deref for Held {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

/// Where a request stands in one snapshot: its bind and, once known, its listener. Cheap to clone; a request
/// takes one at its start and keeps it to its end.
#[derive(Clone)]
pub(crate) struct Scope {
    held: Held,
    bind: usize,
    listener: Option<usize>,
}

impl Scope {
    /// `bind` and `listener` are indices of this snapshot. `listener` is `None` on a clear-text port.
    pub(crate) fn new(held: Held, bind: usize, listener: Option<usize>) -> Self {
        Self { held, bind, listener }
    }

    /// The snapshot.
    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.held
    }

    /// The port.
    pub(crate) fn bind(&self) -> &Bind {
        &self.held.binds[self.bind]
    }

    /// Client settings before a listener is known, and the listener's once it is.
    pub(crate) fn client(&self) -> &ClientSettings {
        self.listener().map_or(&self.bind().client, |listener| &listener.client)
    }

    /// The listener, if it is known.
    pub(crate) fn listener(&self) -> Option<&Listener> {
        self.listener.map(|index| &self.bind().listeners[index])
    }

    /// What counts and metrics before a listener is known go to: the listener, else the port's first.
    pub(crate) fn listener_or_first(&self) -> &Listener {
        &self.bind().listeners[self.listener.unwrap_or(0)]
    }

    /// The same place in another snapshot, if connections can go on there: bind and listener exist, and TLS,
    /// hostname of a TLS listener and PROXY settings are the same. A renewed certificate is no change.
    pub(crate) fn successor(&self, socket: &SocketKey, next: &Held) -> Option<Self> {
        let index = next.bind_at(socket)?;
        let (old, new) = (self.bind(), &next.binds[index]);
        let same_port = old.id == new.id
            && old.protocol == new.protocol
            && old.client.proxy_protocol == new.client.proxy_protocol;
        if !same_port {
            return None;
        }
        let listener = match self.listener() {
            None => None,
            Some(old) => {
                let place = new.listeners.iter().position(|new| new.id == old.id)?;
                let new = &new.listeners[place];
                let same_tls = match (&old.tls, &new.tls) {
                    (Some(old), Some(new)) => old.same_settings(new),
                    (old, new) => old.is_none() && new.is_none(),
                };
                if !same_tls || old.hostname != new.hostname {
                    return None;
                }
                Some(place)
            }
        };
        Some(Self { held: next.clone(), bind: index, listener })
    }

    /// True: TLS has fixed the listener, and a request's host (lower case, without port) belongs to another one of the
    /// port. Clients that use a connection for every name that its certificate covers do that.
    pub(crate) fn is_misdirected(&self, host: Option<&str>) -> bool {
        let of_host = host.and_then(|host| self.bind().listener_for(Some(host)));
        matches!((self.listener, of_host), (Some(own), Some(other)) if own != other)
    }

    /// Fixes the listener: TLS has fixed it by SNI, clear text by the request's host (lower case, without
    /// port). `None`: no listener of the port has a hostname that covers it; the answer is 404.
    pub(crate) fn at_host(&self, host: Option<&str>) -> Option<Self> {
        let listener = self.listener.or_else(|| self.bind().listener_for(host))?;
        Some(Self { held: self.held.clone(), bind: self.bind, listener: Some(listener) })
    }
}
