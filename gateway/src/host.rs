//! What the host is, as far as the configuration depends on it.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// Addresses of all interfaces, sorted. `None`: the kernel does not say.
pub(crate) fn addresses() -> Option<Vec<IpAddr>> {
    let storages = getifaddrs().ok()?.filter_map(|interface| interface.address);
    let mut addresses: Vec<IpAddr> = storages
        .filter_map(|storage| {
            let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .collect();
    addresses.sort();
    addresses.dedup();
    Some(addresses)
}
