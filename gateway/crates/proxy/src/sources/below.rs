use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use ipnet::IpNet;
use ir::ListenerId;

use super::{Proxied, Source};
use crate::refusal::Refusal;

/// Who is really calling, as somebody below the sockets sees it. What it says is checked against the connection's own
/// bytes, which have the last word; what it is told lets it refuse earlier.
pub trait Sources: Send + Sync {
    /// The source and destination in the PROXY header that a connection began with. `None`: it does not know of one.
    fn header(&self, peer: SocketAddr, local: SocketAddr) -> Option<(SocketAddr, SocketAddr)>;

    /// A source or network in PROXY headers has as many connections to a listener as it may have, or has no more.
    fn mark(&self, listener: &ListenerId, network: IpNet, full: bool);
}

/// [`Sources`], where there are any.
#[derive(Clone, Default)]
pub(crate) struct Below(Arc<OnceLock<Arc<dyn Sources>>>);

impl Below {
    /// Asks these from now on; once.
    pub(crate) fn consult(&self, sources: Arc<dyn Sources>) {
        // A second one would be told of half of what is full: the first stays.
        let _ = self.0.set(sources);
    }

    /// Refuses a connection that is said to begin with another header than it does.
    pub(crate) fn check(&self, source: &Source) -> Result<(), Refusal> {
        let Some((client, destination)) =
            self.0.get().and_then(|below| below.header(source.peer, source.local))
        else {
            return Ok(());
        };
        if source.proxied == Some(Proxied { source: client, destination }) {
            return Ok(());
        }
        tracing::warn!(peer = %source.peer, read = ?source.proxied, seen = %client, "a PROXY header is not the one that the kernel has seen");
        Err(Refusal::ProxyMismatch)
    }
}

/// The sources and networks in PROXY headers that a listener refuses for what they have open, as those below know them.
pub(crate) struct Full {
    below: Below,
    networks: Mutex<HashSet<IpNet>>,
}

impl Full {
    /// None yet.
    pub(crate) fn new(below: &Below) -> Self {
        Self { below: below.clone(), networks: Mutex::default() }
    }

    /// One was refused just now.
    pub(crate) fn refused(&self, listener: &ListenerId, network: IpNet) {
        let Some(below) = self.below.0.get() else { return };
        if self.networks.lock().unwrap_or_else(PoisonError::into_inner).insert(network) {
            below.mark(listener, network, true);
        }
    }

    /// One has a connection less.
    pub(crate) fn freed(&self, listener: &ListenerId, network: IpNet) {
        let Some(below) = self.below.0.get() else { return };
        if self.networks.lock().unwrap_or_else(PoisonError::into_inner).remove(&network) {
            below.mark(listener, network, false);
        }
    }
}
