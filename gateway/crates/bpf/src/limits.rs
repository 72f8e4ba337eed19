use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{Policy, Proxied};

/// Every listening address of the process. Those without a limit belong here too, so that their connections are
/// counted before they get one.
pub type Limits = BTreeMap<SocketAddr, Limit>;

/// What a listening address counts towards, how many connections that may have, and what holds for who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Shared by the addresses that one limit is about.
    pub quota: QuotaId,
    /// `None`: any number.
    pub most: Option<u64>,
    /// `None`: anybody may connect.
    pub policy: Option<Arc<Policy>>,
    /// `None`: no PROXY header is read.
    pub proxied: Option<Proxied>,
}

impl Limit {
    /// True: connections are counted by source or network, or sources have buckets.
    pub fn tracks(&self) -> bool {
        let policies = [self.policy.as_ref(), self.proxied.as_ref().map(|proxied| &proxied.policy)];
        policies.into_iter().flatten().any(|policy| policy.tracks())
    }
}

/// Names what is counted together, the same after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaId(pub(crate) u64);

impl QuotaId {
    /// The id of a name: its hash.
    pub fn of(name: &str) -> Self {
        Self(fnv1a(name.bytes()))
    }
}

impl fmt::Display for QuotaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// FNV-1a in 64 bits.
pub(crate) fn fnv1a(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Every key that a limit is found by: a wildcard's stands for each of the host's addresses that has no listener of its
/// own there, so that a look-up for a frame needs one key and no other. The wildcard itself is for the programs that see
/// sockets.
pub(crate) fn expanded<'a>(limits: &'a Limits, host: &BTreeSet<IpAddr>) -> BTreeMap<SocketAddr, &'a Limit> {
    let mut rows: BTreeMap<SocketAddr, &Limit> =
        limits.iter().map(|(address, limit)| (*address, limit)).collect();
    for (wildcard, limit) in limits.iter().filter(|(address, _)| address.ip().is_unspecified()) {
        for address in host.iter().filter(|address| address.is_ipv4() == wildcard.is_ipv4()) {
            rows.entry(SocketAddr::new(*address, wildcard.port())).or_insert(limit);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_the_addresses_that_nobody_else_listens_on() {
        let limit = |name: &str| Limit { quota: QuotaId::of(name), most: None, policy: None, proxied: None };
        let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        let limits = Limits::from([
            (at("0.0.0.0:80"), limit("all")),
            (at("192.0.2.7:80"), limit("one")),
            (at("[::]:443"), limit("v6")),
        ]);
        let host = ["192.0.2.7", "192.0.2.8", "2001:db8::7"].map(|text| text.parse().expect("an address"));
        let rows = expanded(&limits, &host.into_iter().collect());
        let named: Vec<(SocketAddr, bool)> =
            rows.iter().map(|(address, row)| (*address, row.quota == QuotaId::of("one"))).collect();
        let expected = [
            ("0.0.0.0:80", false),
            ("192.0.2.7:80", true),
            ("192.0.2.8:80", false),
            ("[::]:443", false),
            ("[2001:db8::7]:443", false),
        ];
        assert_eq!(named, expected.map(|(address, is_one)| (at(address), is_one)));
    }
}
