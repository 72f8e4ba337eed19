use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Weak},
};

use ir::{SocketKey, Transport};

use super::{Explanation, Nearest, Request, RequestExplanation, course::course, walk::Walk};
use crate::{carry::Carry, metrics::Metrics, snapshot::Snapshot, sources::Proxied};

/// A connection that somebody wants to know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who would call. The port decides nothing.
    pub peer: SocketAddr,
    /// Where.
    pub local: SocketAddr,
    /// The source in the PROXY header that it would send; `None`: it sends none.
    pub proxied: Option<SocketAddr>,
    /// The server name of its ClientHello, lower case; `None`: it is not said.
    pub server_name: Option<String>,
}

/// Answers questions about the configuration in force, with the counts of this moment. It keeps no configuration alive.
#[derive(Clone)]
pub struct Explainer {
    carry: Arc<Carry>,
    snapshot: Weak<Snapshot>,
}

impl Explainer {
    /// About a snapshot.
    pub(crate) fn new(carry: &Arc<Carry>, snapshot: &Arc<Snapshot>) -> Self {
        Self { carry: Arc::clone(carry), snapshot: Arc::downgrade(snapshot) }
    }

    /// The answer. `None`: another configuration is in force by now.
    pub fn explain(&self, question: &Question) -> Option<Explanation> {
        let snapshot = self.snapshot.upgrade()?;
        Some(explain(&self.carry, &snapshot, question))
    }

    /// The answer for a configuration that nobody serves: every count is zero, and every bucket full.
    pub fn explain_unserved(config: ir::Gateway, question: &Question) -> Explanation {
        let carry = Carry::new(Metrics::new(), u64::MAX);
        let snapshot = Snapshot::build(Arc::new(config), &carry, 0);
        explain(&carry, &snapshot, question)
    }

    /// What would become of a request, its connection being served. `None`: another configuration is in force by now.
    pub fn explain_request(&self, request: &Request) -> Option<RequestExplanation> {
        Some(explain_request(&self.snapshot.upgrade()?, request))
    }

    /// Likewise, with a configuration that nobody serves.
    pub fn explain_unserved_request(config: ir::Gateway, request: &Request) -> RequestExplanation {
        let carry = Carry::new(Metrics::new(), u64::MAX);
        explain_request(&Arc::new(Snapshot::build(Arc::new(config), &carry, 0)), request)
    }
}

impl std::fmt::Debug for Explainer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Explainer").finish_non_exhaustive()
    }
}

pub(super) fn explain(carry: &Carry, snapshot: &Snapshot, question: &Question) -> Explanation {
    let Question { peer, local, proxied, server_name } = question;
    let Some((socket, bind)) = listening(snapshot, *local) else {
        return Explanation::NoListener { nearest: nearest(snapshot, *local) };
    };
    let bind = &snapshot.binds[bind];
    let proxied = proxied.map(|source| Proxied { source, destination: *local });
    let walk = Walk { carry, snapshot, bind, peer: *peer, local: *local, proxied };
    let paths = match bind.protocol {
        ir::Protocol::Http => vec![walk.to(Some(0))],
        ir::Protocol::Https => match server_name {
            Some(name) => vec![walk.to(bind.listener_for(Some(name)))],
            None => (0..bind.listeners.len()).map(|listener| walk.to(Some(listener))).collect(),
        },
    };
    Explanation::Listener { socket, bind: bind.id.clone(), paths }
}

pub(crate) fn explain_request(snapshot: &Arc<Snapshot>, request: &Request) -> RequestExplanation {
    let Request { address, port, .. } = request;
    let places: Vec<(SocketKey, usize)> = match address {
        Some(address) => listening(snapshot, SocketAddr::new(*address, *port)).into_iter().collect(),
        None => snapshot
            .config
            .binds
            .iter()
            .enumerate()
            .filter_map(|(place, bind)| {
                let socket = bind.sockets.iter().find(|socket| socket.port == *port)?;
                Some((*socket, place))
            })
            .collect(),
    };
    if places.is_empty() {
        let local = SocketAddr::new(address.unwrap_or(IpAddr::from([0; 4])), *port);
        return RequestExplanation::NoListener { nearest: nearest(snapshot, local) };
    }
    RequestExplanation::Courses(places.into_iter().map(|place| course(snapshot, place, request)).collect())
}

/// The socket that the kernel gives a connection to: that of the very address goes before a wildcard of its family.
fn listening(snapshot: &Snapshot, local: SocketAddr) -> Option<(SocketKey, usize)> {
    let wildcard: IpAddr = match local {
        SocketAddr::V4(_) => IpAddr::from([0; 4]),
        SocketAddr::V6(_) => IpAddr::from([0; 16]),
    };
    [local.ip(), wildcard].into_iter().find_map(|address| {
        let key = SocketKey { transport: Transport::Tcp, address, port: local.port() };
        Some((key, snapshot.bind_at(&key)?))
    })
}

/// The socket with the same address and the closest port, else with the same port, else any.
fn nearest(snapshot: &Snapshot, local: SocketAddr) -> Option<Nearest> {
    let sockets =
        snapshot.config.binds.iter().flat_map(|bind| bind.sockets.iter().map(move |key| (key, bind)));
    let distance = |key: &SocketKey| {
        let same_family = key.address.is_ipv4() == local.is_ipv4();
        let same_address = key.address == local.ip() || (same_family && key.address.is_unspecified());
        let rank = match (same_address, key.port == local.port(), same_family) {
            (true, ..) => 0,
            (false, true, true) => 1,
            (false, true, false) => 2,
            (false, false, _) => 3,
        };
        (rank, key.port.abs_diff(local.port()), *key)
    };
    let (key, bind) = sockets.min_by_key(|(key, _)| distance(key))?;
    Some(Nearest { socket: *key, bind: bind.id.clone() })
}
