use std::{collections::BTreeMap, net::IpAddr};

use super::GatewayState;
use crate::index::Key;

/// Settles who binds a port of an address that two Gateways want: the older one. `gateways` are in the order
/// of seniority. A specific address and the wildcard do not meet: the kernel prefers the specific one.
pub(super) fn settle(gateways: &mut [GatewayState<'_>]) {
    let mut holders: BTreeMap<(IpAddr, u16), Key<'_>> = BTreeMap::new();
    for gateway in gateways {
        let key = gateway.gateway.key();
        let GatewayState { addresses, listeners, warnings, .. } = gateway;
        for listener in listeners.iter_mut().filter(|listener| listener.is_valid()) {
            let port = listener.spec.port;
            let mut lost = None;
            for address in &addresses.bound {
                let holder = *holders.entry((*address, port)).or_insert(key);
                if holder == key {
                    listener.addresses.push(*address);
                } else {
                    let (namespace, name) = holder;
                    let message =
                        format!("Port {port} of {address} belongs to the older Gateway {namespace}/{name}.");
                    lost.get_or_insert(message);
                }
            }
            if listener.addresses.is_empty() {
                listener.port_taken = lost;
            } else {
                warnings.extend(lost);
            }
        }
    }
}
