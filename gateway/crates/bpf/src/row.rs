use std::net::{IpAddr, SocketAddr};

use aya::Pod;
use ebpf_common::{
    Beginning, Count, Desk, FlowKey, Limit, ListenerKey, NetworkKey, QuotaKey, Refused, SourceCount,
    SourceKey,
};

use crate::policy::mapped;

/// What crosses into the kernel, in aya's terms.
macro_rules! row {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug)]
        pub(crate) struct $name(pub(crate) $inner);

        // SAFETY: `repr(C)`, made of integers and arrays of bytes, padding explicit: every bit pattern is a value,
        // and no byte is uninitialised.
        unsafe impl Pod for $name {}
    };
}

row!(
    /// A listening socket.
    Key(ListenerKey)
);
row!(
    /// What is counted together.
    Quota(QuotaKey)
);
row!(
    /// A listening socket's limit.
    LimitRow(Limit)
);
row!(
    /// A quota's open connections.
    CountRow(Count)
);
row!(
    /// What one processor has refused for it.
    RefusedRow(Refused)
);
row!(
    /// A connection by both ends.
    Flow(FlowKey)
);
row!(
    /// What its first segment says, once that has come.
    BeginningRow(Beginning)
);
row!(
    /// A source or network.
    Source(SourceKey)
);
row!(
    /// Its open connections.
    SourceRow(SourceCount)
);
row!(
    /// A network of a set.
    Network(NetworkKey)
);

row!(
    /// What one processor does at a steady pace.
    DeskRow(Desk)
);

impl Key {
    /// The key of a listening address in a namespace.
    pub(crate) fn new(netns: u64, address: SocketAddr) -> Self {
        Self(ListenerKey::new(netns, mapped(address.ip()), address.port()))
    }

    /// The listening address.
    pub(crate) fn address(self) -> SocketAddr {
        let ip = IpAddr::from(self.0.address()).to_canonical();
        SocketAddr::new(ip, self.0.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_into_a_key_and_back() {
        for text in ["192.0.2.7:80", "0.0.0.0:443", "[2001:db8::7]:65535", "[::]:1"] {
            let address: SocketAddr = text.parse().expect("an address");
            let key = Key::new(7, address);
            assert_eq!((key.address(), key.0.netns()), (address, 7));
        }
        let wildcards =
            ["0.0.0.0:80", "[::]:80"].map(|text| Key::new(7, text.parse().expect("an address")).0);
        assert_ne!(wildcards[0], wildcards[1], "the two families are two sockets");
        assert_eq!(Key::new(7, "192.0.2.7:80".parse().expect("an address")).0.wildcard(), wildcards[0]);
        assert_eq!(Key::new(7, "[2001:db8::7]:80".parse().expect("an address")).0.wildcard(), wildcards[1]);
    }
}
