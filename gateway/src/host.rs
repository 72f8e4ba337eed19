//! What the host is, as far as the configuration depends on it.

use std::net::IpAddr;

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};

/// An address that an interface carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostAddress {
    /// The interface's name.
    pub(crate) interface: String,
    /// True: what is sent there comes back.
    pub(crate) is_loopback: bool,
    /// The address.
    pub(crate) address: IpAddr,
}

/// Addresses with their interfaces. `None`: the kernel does not say.
pub(crate) fn interfaces() -> Option<Vec<HostAddress>> {
    let entries = getifaddrs().ok()?.filter_map(|entry| {
        let storage = entry.address?;
        let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let address = v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))?;
        let is_loopback = entry.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        Some(HostAddress { interface: entry.interface_name, is_loopback, address })
    });
    Some(entries.collect())
}

/// Addresses of all interfaces, sorted. `None`: the kernel does not say.
pub(crate) fn addresses() -> Option<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = interfaces()?.into_iter().map(|carried| carried.address).collect();
    addresses.sort();
    addresses.dedup();
    Some(addresses)
}
