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
    /// What a connection began with, once its first byte has come. `None`: it cannot say.
    fn header(&self, peer: SocketAddr, local: SocketAddr) -> Option<Seen>;

    /// A source or network in PROXY headers has as many connections to a listener as it may have, or has no more.
    fn mark(&self, listener: &ListenerId, network: IpNet, full: bool);
}

/// What a connection began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A PROXY header that names both ends of a TCP connection.
    Named {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// A PROXY header that names nobody.
    Nameless,
    /// What it has been refused for already; that is counted, and our end is reset.
    Refused,
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
        let seen = match self.seen(source) {
            Some(Seen::Named { source, destination }) => Some(Proxied { source, destination }),
            Some(Seen::Nameless) => None,
            Some(Seen::Refused) | None => return Ok(()),
        };
        if source.proxied == seen {
            return Ok(());
        }
        tracing::warn!(peer = %source.peer, read = ?source.proxied, ?seen, "a PROXY header is not the one that was seen below");
        Err(Refusal::ProxyMismatch)
    }

    /// True: the connection was refused, and counted, before it could be read.
    pub(crate) fn has_refused(&self, source: &Source) -> bool {
        self.seen(source) == Some(Seen::Refused)
    }

    fn seen(&self, source: &Source) -> Option<Seen> {
        self.0.get()?.header(source.peer, source.local)
    }
}

/// The sources and networks in PROXY headers that a listener refuses for what they have open, as those below know them.
/// Who is told of is refused there, and so is never refused here again: what is told must not be too late.
pub(crate) struct Full {
    below: Below,
    networks: Mutex<HashSet<IpNet>>,
}

impl Full {
    /// None yet.
    pub(crate) fn new(below: &Below) -> Self {
        Self { below: below.clone(), networks: Mutex::default() }
    }

    /// One was refused just now. `is_full`: whether it would be again, asked once nobody can be told otherwise.
    pub(crate) fn refused(&self, listener: &ListenerId, network: IpNet, is_full: impl FnOnce() -> bool) {
        let Some(below) = self.below.0.get() else { return };
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if is_full() && networks.insert(network) {
            below.mark(listener, network, true);
        }
    }

    /// One has a connection less.
    pub(crate) fn freed(&self, listener: &ListenerId, network: IpNet) {
        let Some(below) = self.below.0.get() else { return };
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if networks.remove(&network) {
            below.mark(listener, network, false);
        }
    }

    /// All of them may have more from now on, or somebody else keeps their counts.
    pub(crate) fn forget(&self, listener: &ListenerId) {
        let Some(below) = self.below.0.get() else { return };
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        networks.drain().for_each(|network| below.mark(listener, network, false));
    }
}
