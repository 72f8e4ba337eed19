use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use manifest::{Object, kind};

use crate::{HostFacts, index::InForce, status::GatewayReason};

/// What a Gateway listens on.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// Sorted as the manifest has them; the wildcard is both families'.
    pub(crate) bound: Vec<IpAddr>,
    /// Accepted is False, and nothing is bound.
    pub(crate) unsupported: Option<String>,
    /// Programmed is False; what is bound is served nevertheless.
    pub(crate) unusable: Option<(GatewayReason, String)>,
}

/// Gives every Gateway its addresses. `gateways` are in the order of seniority, which decides who gets an
/// address that two start their search at.
pub(super) fn assign(
    gateways: &[InForce<'_, kind::Gateway>],
    pool: &[IpNet],
    facts: &HostFacts,
) -> Vec<Addresses> {
    let statics = gateways.iter().flat_map(|gateway| &gateway.spec.addresses);
    let mut taken: BTreeSet<IpAddr> = statics
        .filter_map(|address| Some(address.value.as_deref()?.parse::<IpAddr>().ok()?.to_canonical()))
        .collect();
    gateways.iter().map(|gateway| of_gateway(*gateway, pool, facts, &mut taken)).collect()
}

fn of_gateway(
    gateway: InForce<'_, kind::Gateway>,
    pool: &[IpNet],
    facts: &HostFacts,
    taken: &mut BTreeSet<IpAddr>,
) -> Addresses {
    let mut addresses = Addresses::default();
    let mut from_pool = gateway.spec.addresses.is_empty();
    let mut absent = Vec::new();
    for asked in &gateway.spec.addresses {
        let kind = asked.address_type.as_deref().unwrap_or("IPAddress");
        let value = asked.value.as_deref().unwrap_or_default();
        if kind != "IPAddress" {
            addresses.unsupported =
                Some(format!("Addresses of type {kind} are not supported; expected IPAddress."));
            continue;
        }
        match value.parse::<IpAddr>().map(|address| address.to_canonical()) {
            // One address may be written in two ways.
            Ok(address) if addresses.bound.contains(&address) => {}
            Ok(address) if facts.has(address) => addresses.bound.push(address),
            Ok(_) => absent.push(value.to_owned()),
            Err(_) if value.is_empty() => from_pool = true,
            Err(_) => addresses.unsupported = Some(format!("`{value}` is not an IP address.")),
        }
    }
    if addresses.unsupported.is_some() {
        addresses.bound.clear();
        return addresses;
    }
    if !absent.is_empty() {
        let message = format!("No interface of this host has the address {}.", absent.join(", "));
        addresses.unusable = Some((GatewayReason::AddressNotUsable, message));
    }
    if from_pool {
        allocate(gateway.object, pool, facts, taken, &mut addresses);
    }
    addresses
}

/// One address of each family that the pool has; the wildcard where there is no pool.
fn allocate(
    gateway: &Object<kind::Gateway>,
    pool: &[IpNet],
    facts: &HostFacts,
    taken: &mut BTreeSet<IpAddr>,
    addresses: &mut Addresses,
) {
    if pool.is_empty() {
        addresses.bound.extend([IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)]);
        return;
    }
    let start = fingerprint(&gateway.id.to_string());
    let before = addresses.bound.len();
    for is_ipv4 in [true, false] {
        let networks = pool.iter().filter(|network| network.addr().is_ipv4() == is_ipv4);
        let candidates = networks.flat_map(|network| candidates(network, facts)).collect::<BTreeSet<_>>();
        let candidates: Vec<IpAddr> = candidates.into_iter().collect();
        if candidates.is_empty() {
            continue;
        }
        // The search starts at a place that only the Gateway's name decides, so that the end of another
        // Gateway does not move this one.
        let first = usize::try_from(start % candidates.len() as u64).unwrap_or(0);
        let mut search = candidates[first..].iter().chain(&candidates[..first]);
        if let Some(free) = search.find(|address| !taken.contains(address)) {
            taken.insert(*free);
            addresses.bound.push(*free);
        }
    }
    if addresses.bound.len() == before {
        let message = "No address of the Appliance's pool is free on this host.".to_owned();
        addresses.unusable = Some((GatewayReason::AddressNotAssigned, message));
    }
}

/// Most addresses of one network that are looked at where the host's own addresses do not bound them.
const MOST: usize = 4096;

fn candidates(network: &IpNet, facts: &HostFacts) -> Vec<IpAddr> {
    let everywhere = facts.addresses.is_none() || matches!(network, IpNet::V4(v4) if v4.addr().is_loopback());
    match &facts.addresses {
        Some(addresses) if !everywhere => {
            addresses.iter().filter(|address| network.contains(*address)).copied().collect()
        }
        _ => network.hosts().take(MOST).collect(),
    }
}

/// FNV-1a: the same on every machine and in every version.
fn fingerprint(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_what_the_host_has() {
        let facts = HostFacts {
            addresses: Some(vec!["10.0.0.5".parse().unwrap(), "192.0.2.1".parse().unwrap()]),
            authorities: None,
        };
        let network = |text: &str| text.parse::<IpNet>().unwrap();
        assert_eq!(candidates(&network("10.0.0.0/24"), &facts), ["10.0.0.5".parse::<IpAddr>().unwrap()]);
        assert_eq!(candidates(&network("127.1.0.0/30"), &facts).len(), 2, "all of loopback is on the host");
        assert_eq!(candidates(&network("10.0.0.0/24"), &HostFacts::default()).len(), 254);
    }
}
