use std::{collections::BTreeSet, net::IpAddr};

use ir::Transport;

use crate::host::HostAddress;

/// Where listeners are bound: addresses, wildcards among them.
pub(super) fn listening(config: &ir::Gateway) -> BTreeSet<IpAddr> {
    let sockets = config.binds.iter().flat_map(|bind| &bind.sockets);
    sockets.filter(|key| key.transport == Transport::Tcp).map(|key| key.address).collect()
}

/// The interfaces that clients come in by where none are named: those that carry an address that a listener is bound
/// to. A wildcard is bound to every address, but a loopback is meant only by its very address: its clients are
/// local. One with nothing but a link-local address (a bridge's port, most often) is not meant by a wildcard either.
pub(super) fn interfaces(listening: &BTreeSet<IpAddr>, host: &[HostAddress]) -> Vec<String> {
    let is_meant = |carried: &&HostAddress| {
        let by_wildcard = !carried.is_loopback && !is_link_local(carried.address);
        listening.contains(&carried.address)
            || by_wildcard
                && listening
                    .iter()
                    .any(|address| address.is_unspecified() && address.is_ipv4() == carried.address.is_ipv4())
    };
    let names: BTreeSet<&String> = host.iter().filter(is_meant).map(|carried| &carried.interface).collect();
    names.into_iter().cloned().collect()
}

/// RFC 3927 §2.1, RFC 4291 §2.5.6.
fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(interface: &str, address: &str) -> HostAddress {
        let address = address.parse().expect("an address");
        HostAddress { interface: interface.to_owned(), is_loopback: interface == "lo", address }
    }

    #[test]
    fn interfaces_are_those_that_carry_the_addresses_of_listeners() {
        let host = [
            carried("lo", "127.0.0.1"),
            carried("lo", "::1"),
            carried("eth0", "198.51.100.7"),
            carried("eth0", "fe80::7"),
            carried("eth1", "2001:db8::7"),
            carried("port0", "fe80::8"),
        ];
        let cases: [(&[&str], &[&str]); 8] = [
            (&[], &[]),
            (&["0.0.0.0"], &["eth0"]),
            (&["::"], &["eth1"]),
            (&["0.0.0.0", "::"], &["eth0", "eth1"]),
            (&["198.51.100.7"], &["eth0"]),
            (&["198.51.100.8"], &[]),
            (&["127.0.0.1", "2001:db8::7"], &["eth1", "lo"]),
            (&["fe80::8"], &["port0"]),
        ];
        for (listening, expected) in cases {
            let listening = listening.iter().map(|address| address.parse().expect("an address")).collect();
            assert_eq!(interfaces(&listening, &host), expected, "{listening:?}");
        }
    }
}
