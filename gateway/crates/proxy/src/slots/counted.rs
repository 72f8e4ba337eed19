use std::time::Duration;

use ipnet::IpNet;
use ir::{ConnectionRate, ListenerId, SourceKey};

/// What an open connection counts towards, named so that another process understands it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Counted {
    /// The connections of the whole appliance (`maxConnections`).
    Connections,
    /// A listener's connections, and the bucket of its rate.
    Listener(ListenerId),
    /// An address or a network that a listener's connection policy counts, and the bucket of its rate.
    Source {
        /// Whose policy.
        listener: ListenerId,
        /// An address has all its bits. Never v4-mapped.
        network: IpNet,
        /// Which address of the connection it goes by.
        key: SourceKey,
    },
}

/// How things stand with one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What.
    pub of: Counted,
    /// Connections open.
    pub open: u64,
    /// Until its bucket is full again; zero where there is none.
    pub full_in: Duration,
}

/// A successor, asked and told by the process whose place it has taken: that one's connections go on, and one limit
/// holds for those of both.
///
/// Called by workers, who wait for the answer: it has to come within microseconds, and there are few questions, since
/// who asks accepts no more. `None` is the answer of one that is gone.
pub trait Keeper: Send + Sync {
    /// Counts a connection, unless as many as `limit` are open.
    fn take(&self, counted: &Counted, limit: Option<u64>) -> Option<bool>;

    /// Such a connection is closed.
    fn free(&self, counted: &Counted);

    /// Takes a token of a bucket, if it has one.
    fn spend(&self, counted: &Counted, rate: ConnectionRate) -> Option<bool>;
}
