use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use ir::{ConnectionRate, SourceKey};

use super::{GateState, Passes};

/// How the checks of a gate are carried out: in earnest, or as a look that changes nothing.
pub(super) trait Books {
    /// Counts a connection of a source or network; false: it has as many as it may have.
    fn open(&mut self, shared: Shared, network: IpNet, key: SourceKey, limit: u32) -> bool;

    /// Takes a token of a source's; false: there is none.
    fn spend(&mut self, address: IpAddr, key: SourceKey, rate: ConnectionRate) -> bool;

    /// Takes a token of the listener's; false: there is none.
    fn spend_of_all(&mut self, rate: ConnectionRate) -> bool;

    /// Hears of a check that takes nothing.
    fn found(&mut self, check: Check);
}

/// What a connection may share a count with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    /// Those of its source.
    Source = 0,
    /// Those of its source's network.
    Prefix = 1,
}

/// One check of a connection policy, and what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// `clientCIDRs.deny`.
    Deny {
        /// Who was looked for.
        address: IpAddr,
        /// A network of the list that has it; `None`: it passes.
        network: Option<IpNet>,
    },
    /// `clientCIDRs.allow`.
    Allow {
        /// Who was looked for.
        address: IpAddr,
        /// A network of the list that has it; `None`: it is refused.
        network: Option<IpNet>,
    },
    /// `clientCIDRs.exempt`: no limit and no rate of this moment is asked.
    Exempt {
        /// Who was looked for.
        address: IpAddr,
        /// A network of the list that has it.
        network: IpNet,
    },
    /// `concurrentConnections.perSource`.
    PerSource {
        /// Whose connections.
        source: IpNet,
        /// How many are open.
        open: u32,
        /// How many may be.
        limit: u32,
    },
    /// `concurrentConnections.perPrefix`.
    PerPrefix {
        /// Whose connections.
        network: IpNet,
        /// How many are open.
        open: u32,
        /// How many may be.
        limit: u32,
    },
    /// `connectionRate.perSource`.
    SourceRate {
        /// Whose connections.
        address: IpAddr,
        /// Tokens that are left.
        left: u64,
        /// How they come back.
        rate: ConnectionRate,
    },
    /// `connectionRate.perListener`.
    ListenerRate {
        /// Tokens that are left.
        left: u64,
        /// How they come back.
        rate: ConnectionRate,
    },
}

/// In earnest: what is taken goes into the passes.
pub(super) struct Taking<'a> {
    pub(super) state: &'a Arc<GateState>,
    pub(super) passes: &'a mut Passes,
    pub(super) now: u64,
}

impl Books for Taking<'_> {
    fn open(&mut self, shared: Shared, network: IpNet, key: SourceKey, limit: u32) -> bool {
        let Some(held) = GateState::open(self.state, network, key, limit, self.now) else { return false };
        self.passes.take(shared, held);
        true
    }

    fn spend(&mut self, address: IpAddr, key: SourceKey, rate: ConnectionRate) -> bool {
        self.state.spend(address.into(), key, rate, self.now)
    }

    fn spend_of_all(&mut self, rate: ConnectionRate) -> bool {
        self.state.spend_shared(rate, self.now)
    }

    fn found(&mut self, _: Check) {}
}

/// A look.
pub(super) struct Looking<'a, F> {
    pub(super) state: &'a GateState,
    pub(super) found: &'a mut F,
    pub(super) now: u64,
}

impl<F: FnMut(Check)> Books for Looking<'_, F> {
    fn open(&mut self, shared: Shared, network: IpNet, key: SourceKey, limit: u32) -> bool {
        let open = self.state.count(network, key);
        (self.found)(match shared {
            Shared::Source => Check::PerSource { source: network, open, limit },
            Shared::Prefix => Check::PerPrefix { network, open, limit },
        });
        open < limit
    }

    fn spend(&mut self, address: IpAddr, key: SourceKey, rate: ConnectionRate) -> bool {
        let left = self.state.left(Some((address.into(), key)), rate, self.now);
        (self.found)(Check::SourceRate { address, left, rate });
        left > 0
    }

    fn spend_of_all(&mut self, rate: ConnectionRate) -> bool {
        let left = self.state.left(None, rate, self.now);
        (self.found)(Check::ListenerRate { left, rate });
        left > 0
    }

    fn found(&mut self, check: Check) {
        (self.found)(check);
    }
}
