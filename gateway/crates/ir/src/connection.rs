use std::time;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TlvHeader;

/// What holds for the connections of one listener: its ConnectionPolicy's spec, with defaults filled in. Plain
/// numbers and networks, so that a kernel may enforce it too.
///
/// The order in which a connection is judged: `networks.deny`, then `networks.allow`; a source in
/// `networks.exempt` has passed then, any other is held against `per_source`, `per_prefix`, `source_rate` and
/// `listener_rate`. The first refusal ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConnectionRules {
    /// Who may connect at all.
    pub networks: SourceNetworks,
    /// Most connections open at an instant from one address.
    pub per_source: Option<SourceLimit>,
    /// Most connections open at an instant from one network.
    pub per_prefix: Option<PrefixLimit>,
    /// New connections from one address.
    pub source_rate: Option<KeyedRate>,
    /// New connections of the whole listener, over all workers and addresses.
    pub listener_rate: Option<KeyedRate>,
    /// Peers whose PROXY headers are believed here; `None`: those of the Appliance.
    pub trusted_senders: Option<Vec<IpNet>>,
    /// Request headers that are filled from the PROXY header, each name once.
    pub tlv_headers: Vec<TlvHeader>,
    /// What a refused client sees.
    pub action: RefusalAction,
    /// True: what would be refused is counted and reported, and served.
    pub dry_run: bool,
}

/// Who may connect at all. Networks are truncated to their prefix, and never v4-mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceNetworks {
    /// Refused, whatever else holds.
    pub deny: Vec<IpNet>,
    /// Where there are any, everyone else is refused.
    pub allow: Vec<IpNet>,
    /// Free of limits and rates, not of `deny` and `allow`.
    pub exempt: Vec<IpNet>,
    /// Whose address is looked for in `deny` and `allow`. `exempt` is held against the address that the limit at
    /// hand goes by.
    pub key: SourceKey,
}

/// Most connections from one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SourceLimit {
    /// At least 1.
    pub limit: u32,
    /// Whose address.
    pub key: SourceKey,
}

/// Most connections from one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PrefixLimit {
    /// At least 1.
    pub limit: u32,
    /// 1 to 32.
    pub ipv4_prefix_length: u8,
    /// 1 to 128.
    pub ipv6_prefix_length: u8,
    /// Whose address.
    pub key: SourceKey,
}

/// A rate, and the address that is held against the exempt networks before it is spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KeyedRate {
    /// How many in what time.
    pub rate: ConnectionRate,
    /// Whose address.
    pub key: SourceKey,
}

/// A token bucket: it holds `burst` tokens, is full at first, and gets one token every [`interval`](Self::interval).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionRate {
    /// New connections per unit, 1 to 1,000,000.
    pub connections: u32,
    /// The unit.
    pub unit: RateUnit,
    /// Most at once after a pause, 1 to 1,000,000.
    pub burst: u32,
}

impl ConnectionRate {
    /// Time until the next token, in nanoseconds, rounded up: never more than the rate.
    pub fn interval(&self) -> u64 {
        let unit: u64 = match self.unit {
            RateUnit::Second => 1,
            RateUnit::Minute => 60,
            RateUnit::Hour => 3_600,
        };
        (unit * 1_000_000_000).div_ceil(u64::from(self.connections.max(1)))
    }
}

/// The time in which a number of connections may come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RateUnit {
    /// 1 s.
    #[default]
    Second,
    /// 60 s.
    Minute,
    /// 3,600 s.
    Hour,
}

/// Which address is the source of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum SourceKey {
    /// The other end of the socket: judged when the connection is accepted.
    #[default]
    Peer,
    /// The source in the PROXY header, and the peer where there is none: judged when the header has been read.
    ProxySource,
}

/// What a refused client sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum RefusalAction {
    /// A reset.
    #[default]
    Reset,
    /// Nothing, where the kernel refuses; a reset, where user space does.
    Drop,
    /// A connection that is accepted, says nothing, and is closed after this time.
    CloseAfterDelay(time::Duration),
}

impl RefusalAction {
    /// How long a refused connection is held before it is closed; `None`: it is reset at once.
    pub fn close_delay(self) -> Option<time::Duration> {
        match self {
            Self::Reset | Self::Drop => None,
            Self::CloseAfterDelay(delay) => Some(delay).filter(|delay| !delay.is_zero()),
        }
    }
}

/// A network as addresses are held against it: without host bits, and IPv4 where it is v4-mapped.
pub fn canonical_network(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(mapped) if mapped.prefix_len() >= 96 => {
            let ipv4 =
                mapped.addr().to_ipv4_mapped().map(|address| Ipv4Net::new(address, mapped.prefix_len() - 96));
            match ipv4 {
                Some(Ok(network)) => IpNet::V4(network.trunc()),
                _ => IpNet::V6(Ipv6Net::trunc(&mapped)),
            }
        }
        other => other.trunc(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_no_earlier_than_the_rate_allows() {
        for (connections, unit, nanos) in [
            (1, RateUnit::Second, 1_000_000_000),
            (3, RateUnit::Second, 333_333_334),
            (60, RateUnit::Minute, 1_000_000_000),
            (1, RateUnit::Hour, 3_600_000_000_000),
            (1_000_000, RateUnit::Second, 1_000),
        ] {
            assert_eq!(ConnectionRate { connections, unit, burst: 1 }.interval(), nanos);
        }
    }

    #[test]
    fn networks_lose_their_host_bits_and_their_mapping() {
        for (text, canonical) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("2001:db8::1/64", "2001:db8::/64"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
            ("::ffff:10.1.2.3/128", "10.1.2.3/32"),
        ] {
            let network: IpNet = text.parse().unwrap();
            assert_eq!(canonical_network(network).to_string(), canonical, "{text}");
        }
    }
}
