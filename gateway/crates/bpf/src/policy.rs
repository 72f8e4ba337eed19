use std::{net::IpAddr, sync::Arc};

use crate::networks::Networks;

/// What holds for those who connect to a listening address, beside how many connections it may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Who may connect at all, and for whom no limit and no rate holds.
    pub networks: Arc<Networks>,
    /// Most connections from one address.
    pub per_source: Option<u32>,
    /// Most connections from one network.
    pub per_prefix: Option<PrefixLimit>,
    /// New connections from one address.
    pub source_rate: Option<Rate>,
    /// New connections of all addresses that count together.
    pub listener_rate: Option<Rate>,
    /// What is refused gets no answer.
    pub drop: bool,
}

/// Where connections begin with a PROXY header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// Who may send one, by [`Networks::of_senders`].
    pub senders: Arc<Networks>,
    /// True: a connection may begin without one.
    pub optional: bool,
    /// What holds for the source in it. Limits on connections hold for those that [`crate::Sources::mark`] says are full.
    pub policy: Arc<Policy>,
}

/// Most connections from one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixLimit {
    /// At least 1.
    pub most: u32,
    /// Bits of an IPv4 address that name its network, 1 to 32.
    pub ipv4_bits: u8,
    /// Bits of an IPv6 address that name its network, 1 to 128.
    pub ipv6_bits: u8,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds for one token.
    pub interval: u64,
    /// Most tokens in the bucket.
    pub burst: u32,
}

impl Policy {
    /// True: connections are counted by source or network, or sources have buckets.
    pub fn tracks(&self) -> bool {
        self.per_source.is_some() || self.per_prefix.is_some() || self.source_rate.is_some()
    }

    /// As the programs read it. `owner`: whose sources they are.
    pub(crate) fn row(&self, owner: u64) -> ebpf_common::Policy {
        let Self { networks, per_source, per_prefix, source_rate, listener_rate, drop } = self;
        let rate = |rate: &Option<Rate>| {
            rate.map_or(ebpf_common::Rate::NONE, |Rate { interval, burst }| {
                ebpf_common::Rate::new(interval.max(1), burst.max(1))
            })
        };
        let mut row = ebpf_common::Policy::of(owner)
            .with_networks(networks.id(), networks.are_allow_listed())
            .with_source_limit(per_source.unwrap_or(0))
            .with_rates(rate(source_rate), rate(listener_rate));
        if let Some(PrefixLimit { most, ipv4_bits, ipv6_bits }) = *per_prefix {
            row = row.with_prefix_limit(most, ipv4_bits.min(32), ipv6_bits.min(128));
        }
        if *drop { row.dropping() } else { row }
    }
}

/// IPv4 in IPv6's form, as it is in every key.
pub(crate) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
