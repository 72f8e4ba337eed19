use std::{collections::HashSet, net::IpAddr};

use ipnet::IpNet;

/// Networks, found in as many steps as there are different prefix lengths.
#[derive(Debug, Default)]
pub(super) struct NetworkSet(Vec<(u8, HashSet<IpNet>)>);

impl NetworkSet {
    /// These networks, without host bits.
    pub(super) fn new(networks: &[IpNet]) -> Self {
        let mut lengths: Vec<(u8, HashSet<IpNet>)> = Vec::new();
        for network in networks {
            match lengths.iter_mut().find(|(length, _)| *length == network.prefix_len()) {
                Some((_, set)) => drop(set.insert(*network)),
                None => lengths.push((network.prefix_len(), HashSet::from([*network]))),
            }
        }
        Self(lengths)
    }

    /// True: there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One of them that the address lies in.
    pub(super) fn find(&self, address: IpAddr) -> Option<IpNet> {
        self.0
            .iter()
            .find_map(|(length, set)| network(address, *length).filter(|network| set.contains(network)))
    }
}

/// The network of that length around an address. `None`: the address has fewer bits.
pub(super) fn network(address: IpAddr, length: u8) -> Option<IpNet> {
    IpNet::new(address, length).ok().map(|network| network.trunc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn families_do_not_mix() {
        let set = NetworkSet::new(&["0.0.0.0/0".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
        for (address, covered) in
            [("192.0.2.1", true), ("2001:db8::1", true), ("2001:db9::1", false), ("::", false)]
        {
            assert_eq!(set.find(address.parse().unwrap()).is_some(), covered, "{address}");
        }
        assert!(NetworkSet::new(&[]).is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn answers_as_a_scan_does(
            networks in prop::collection::vec((any::<u32>(), 0..=32_u8), 0..20),
            address in any::<u32>(),
            near in any::<prop::sample::Index>(),
        ) {
            let mut all = Vec::new();
            for (bits, length) in &networks {
                all.push(IpNet::new(IpAddr::from(bits.to_be_bytes()), *length).unwrap().trunc());
            }
            let set = NetworkSet::new(&all);
            let close = networks.get(near.index(networks.len().max(1))).map_or(address, |(bits, _)| bits ^ 1);
            for address in [address, close] {
                let address = IpAddr::from(address.to_be_bytes());
                let found = set.find(address);
                prop_assert_eq!(found.is_some(), all.iter().any(|network| network.contains(&address)));
                prop_assert!(found.is_none_or(|found| all.contains(&found) && found.contains(&address)));
            }
        }
    }
}
