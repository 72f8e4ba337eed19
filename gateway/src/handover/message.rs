use std::{net::SocketAddr, time::Duration};

use ipnet::IpNet;
use ir::{ConnectionRate, ListenerId, RateUnit, SocketKey, SourceKey, Transport};
use proxy::{Count, Counted};
use serde::{Deserialize, Serialize};

/// Which messages there are and what they mean. Rises with every change that another version would not understand.
pub(super) const PROTOCOL: u32 = 1;

/// What a predecessor says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromPredecessor {
    /// The first: with the descriptors of the books, the lock, the control socket and the admin page, in this order.
    Offer {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Of its program.
        version: String,
        /// Its process.
        pid: u32,
        /// Listening sockets that follow.
        sockets: usize,
    },
    /// Some of the listening sockets, as descriptors.
    Sockets,
    /// The service manager has been told who serves now.
    Released,
}

/// What a successor says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromSuccessor {
    /// It could serve.
    Ready {
        /// Of its program.
        version: String,
        /// Where it listens with sockets of the predecessor's.
        tcp: Vec<SocketAddr>,
    },
    /// It cannot, and ends.
    Refused {
        /// Why.
        why: String,
    },
    /// It accepts and serves.
    Serving,
}

/// What is written into the books that the successor keeps.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Entry {
    /// Some of what was counted up to now.
    Counts(Vec<Row>),
    /// That was all of it.
    Complete,
    /// May one more be counted? Answered with true or false.
    Take {
        /// What it counts towards.
        of: Of,
        /// How many may be open.
        limit: Option<u64>,
    },
    /// One less.
    Free(Of),
    /// Is there a token? Answered with true or false.
    Spend {
        /// Whose bucket.
        of: Of,
        /// Tokens per unit.
        connections: u32,
        /// The unit.
        unit: RateUnit,
        /// What the bucket holds.
        burst: u32,
    },
}

/// [`Counted`], as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Of {
    /// Of the appliance.
    Connections,
    /// By id.
    Listener(String),
    /// Of the listener of that id.
    Source(String, IpNet, SourceKey),
}

/// [`Count`], as it is sent: connections open, and nanoseconds until the bucket is full.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Row(pub(super) Of, pub(super) u64, pub(super) u64);

impl Entry {
    /// A question for a token.
    pub(super) fn spend(counted: &Counted, rate: ConnectionRate) -> Self {
        let ConnectionRate { connections, unit, burst } = rate;
        Self::Spend { of: counted.into(), connections, unit, burst }
    }
}

impl From<&Counted> for Of {
    fn from(counted: &Counted) -> Self {
        match counted {
            Counted::Connections => Self::Connections,
            Counted::Listener(id) => Self::Listener(id.to_string()),
            Counted::Source { listener, network, key } => Self::Source(listener.to_string(), *network, *key),
        }
    }
}

impl From<Of> for Counted {
    fn from(of: Of) -> Self {
        let id = |name: String| ListenerId(name.into());
        match of {
            Of::Connections => Self::Connections,
            Of::Listener(name) => Self::Listener(id(name)),
            Of::Source(name, network, key) => Self::Source { listener: id(name), network, key },
        }
    }
}

impl From<&Count> for Row {
    fn from(count: &Count) -> Self {
        let Count { of, open, full_in } = count;
        Self(of.into(), *open, u64::try_from(full_in.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Row> for Count {
    fn from(Row(of, open, full_in): Row) -> Self {
        Self { of: of.into(), open, full_in: Duration::from_nanos(full_in) }
    }
}

/// The address of a TCP socket's key.
pub(super) fn address(key: &SocketKey) -> SocketAddr {
    SocketAddr::new(key.address, key.port)
}

/// The key of a TCP socket's address.
pub(super) fn key(address: &SocketAddr) -> SocketKey {
    SocketKey { transport: Transport::Tcp, address: address.ip(), port: address.port() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_understood_by_the_other_side() {
        let listener = ListenerId("default/eg/web".into());
        let source = |network: &str, key| Counted::Source {
            listener: listener.clone(),
            network: network.parse().expect("a network"),
            key,
        };
        for of in [
            Counted::Connections,
            Counted::Listener(listener.clone()),
            source("192.0.2.0/24", SourceKey::Peer),
            source("2001:db8::1/128", SourceKey::ProxySource),
        ] {
            let count = Count { of, open: 7, full_in: Duration::from_millis(3) };
            let text = serde_json::to_string(&Row::from(&count)).expect("plain");
            let row: Row = serde_json::from_str(&text).expect("the same");
            assert_eq!(Count::from(row), count, "{text}");
        }
    }
}
