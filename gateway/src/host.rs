//! What the host is, as far as the configuration depends on it.

mod events;

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags, sys::socket::SockaddrStorage};

pub(crate) use events::{Change, Events};

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
        let address = address(&entry.address?)?;
        let is_loopback = entry.flags.contains(InterfaceFlags::IFF_LOOPBACK);
        Some(HostAddress { interface: entry.interface_name, is_loopback, address })
    });
    Some(entries.collect())
}

/// `None`: of another kind.
fn address(storage: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

/// The authorities that the host trusts, as its package of CA certificates has them (`SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name others). Read once. `None`: there are none.
pub(crate) fn authorities() -> Option<Arc<ir::Authorities>> {
    static AUTHORITIES: LazyLock<Option<Arc<ir::Authorities>>> = LazyLock::new(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "cannot read some of the host's CA certificates");
        }
        ir::Authorities::of_system("System", found.certs).ok().map(Arc::new)
    });
    AUTHORITIES.clone()
}

/// Addresses of all interfaces, sorted. `None`: the kernel does not say.
pub(crate) fn addresses() -> Option<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> = interfaces()?.into_iter().map(|carried| carried.address).collect();
    addresses.sort();
    addresses.dedup();
    Some(addresses)
}
