use core::net::{Ipv6Addr, SocketAddr};

/// One end of a connection: the address as IPv6, IPv4 mapped into it (RFC 4291 §2.5.5.2), in network order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    address: [u8; 16],
    port: [u8; 2],
}

/// Both ends of the connection that a header speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    source: Endpoint,
    destination: Endpoint,
}

impl Endpoint {
    /// The IPv4 address 0.0.0.0, mapped, and port 0.
    pub(super) const UNSPECIFIED_V4: Self = Self { address: mapped([0; 4]), port: [0; 2] };

    /// The IPv6 address `::` and port 0.
    pub(super) const UNSPECIFIED_V6: Self = Self { address: [0; 16], port: [0; 2] };

    /// An address, IPv4 ones mapped, and a port in host order.
    pub const fn new(address: [u8; 16], port: u16) -> Self {
        Self { address, port: port.to_be_bytes() }
    }

    /// The address, IPv4 ones mapped.
    pub const fn address(&self) -> [u8; 16] {
        self.address
    }

    /// The port, in host order.
    pub const fn port(&self) -> u16 {
        u16::from_be_bytes(self.port)
    }

    /// As the standard library's type. A mapped IPv4 address is an IPv4 address, however the header put it.
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(self.address).to_canonical(), self.port())
    }

    /// Sets one byte of the address; beyond it, nothing.
    pub(super) fn set_address(&mut self, at: u16, byte: u8) {
        if let Some(slot) = self.address.get_mut(usize::from(at)) {
            *slot = byte;
        }
    }

    /// Sets one byte of the port, 0 the high one; beyond it, nothing.
    pub(super) fn set_port(&mut self, at: u16, byte: u8) {
        if let Some(slot) = self.port.get_mut(usize::from(at)) {
            *slot = byte;
        }
    }
}

impl Addresses {
    /// From `source`, the client, to `destination`, where it connected to.
    pub const fn new(source: Endpoint, destination: Endpoint) -> Self {
        Self { source, destination }
    }

    /// The client.
    pub const fn source(&self) -> Endpoint {
        self.source
    }

    /// Where the client connected to.
    pub const fn destination(&self) -> Endpoint {
        self.destination
    }
}

/// An IPv4 address mapped into IPv6.
pub(super) const fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}
