use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use bpf::{Header, QuotaId};
use ipnet::IpNet;
use ir::ListenerId;
use proxy::Seen;

/// Who is calling, as the kernel half knows it: set by the reload loop, asked by the workers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callers(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    sources: Option<bpf::Sources>,
    quotas: BTreeMap<ListenerId, QuotaId>,
}

impl Callers {
    /// What is at work from now on.
    pub(super) fn ask(&self, sources: Option<bpf::Sources>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).sources = sources;
    }

    /// Which quota each listener's connections count towards from now on.
    pub(super) fn name(&self, quotas: BTreeMap<ListenerId, QuotaId>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).quotas = quotas;
    }
}

impl proxy::Sources for Callers {
    fn header(&self, peer: SocketAddr, local: SocketAddr) -> Option<Seen> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match known.sources.as_ref()?.header(peer, local)? {
            Header::Named { source, destination, length: _ } => Some(Seen::Named { source, destination }),
            Header::Nameless { .. } => Some(Seen::Nameless),
            Header::Refused => Some(Seen::Refused),
            Header::Unknown => None,
        }
    }

    fn mark(&self, listener: &ListenerId, network: IpNet, full: bool) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let Some((sources, quota)) = known.sources.as_ref().zip(known.quotas.get(listener)) else { return };
        if let Err(error) = sources.mark(*quota, network.addr(), network.prefix_len(), full) {
            // User space refuses as before; what the kernel was told before may be refused too long.
            tracing::warn!(%error, %network, full, "the kernel half does not know who has enough connections");
        }
    }
}
