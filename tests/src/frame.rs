//! Frames, byte by byte, with their own idea of a checksum.

/// Receiver's and sender's station. TC's test run takes frames for the loopback's own that have zeros there.
pub const STATIONS: [u8; 12] = [0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2];

/// SYN.
pub const SYN: u8 = 0x02;
/// ACK.
pub const ACK: u8 = 0x10;

/// A TCP segment in a frame, to be bent in every way.
#[derive(Clone, Debug)]
pub struct Frame {
    /// VLAN tags' types, the outer one first.
    pub tags: Vec<[u8; 2]>,
    /// Sender and receiver.
    pub addresses: Addresses,
    /// Bytes of IPv4 options (a multiple of 4).
    pub options: Vec<u8>,
    /// IPv6 extension headers: type and body behind the first two bytes.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// IPv4's flags and fragment offset.
    pub fragment: u16,
    /// Sender's and receiver's port.
    pub ports: (u16, u16),
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// TCP flags.
    pub flags: u8,
    /// Bytes of TCP options (a multiple of 4).
    pub tcp_options: Vec<u8>,
    /// After the header.
    pub payload: Vec<u8>,
}

/// Of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Sender, receiver.
    V4([u8; 4], [u8; 4]),
    /// Sender, receiver.
    V6([u8; 16], [u8; 16]),
}

/// The receiver of most frames here.
pub const SERVER: [u8; 4] = [198, 51, 100, 100];
/// As [`SERVER`].
pub const SERVER6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
/// The sender.
pub const CLIENT: [u8; 4] = [198, 51, 100, 1];
/// As [`CLIENT`].
pub const CLIENT6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// The port of most frames here.
pub const PORT: u16 = 8080;

impl Frame {
    /// A SYN to the server's port, IPv4.
    pub fn v4() -> Self {
        Self {
            tags: Vec::new(),
            addresses: Addresses::V4(CLIENT, SERVER),
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: 0x4000,
            ports: (40_000, PORT),
            sequence: 0xfeed_f00d,
            acknowledgement: 0,
            flags: SYN,
            tcp_options: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// The same, IPv6.
    pub fn v6() -> Self {
        Self { addresses: Addresses::V6(CLIENT6, SERVER6), ..Self::v4() }
    }

    /// On the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = STATIONS.to_vec();
        for (number, tag) in self.tags.iter().enumerate() {
            bytes.extend(tag);
            bytes.extend([0, number as u8 + 5]);
        }
        match self.addresses {
            Addresses::V4(source, destination) => self.v4_packet(&mut bytes, source, destination),
            Addresses::V6(source, destination) => self.v6_packet(&mut bytes, source, destination),
        }
        bytes
    }

    fn v4_packet(&self, bytes: &mut Vec<u8>, source: [u8; 4], destination: [u8; 4]) {
        let segment = self.segment(&[source.as_slice(), &destination].concat());
        let header = 20 + self.options.len();
        let mut ip = vec![0x40 | (header / 4) as u8, 0];
        ip.extend(((header + segment.len()) as u16).to_be_bytes());
        ip.extend([0x12, 0x34]);
        ip.extend(self.fragment.to_be_bytes());
        ip.extend([57, 6, 0, 0]);
        ip.extend(source);
        ip.extend(destination);
        ip.extend(&self.options);
        let check = checksum(&ip);
        ip[10..12].copy_from_slice(&check.to_be_bytes());
        bytes.extend([0x08, 0x00]);
        bytes.extend(ip);
        bytes.extend(segment);
    }

    fn v6_packet(&self, bytes: &mut Vec<u8>, source: [u8; 16], destination: [u8; 16]) {
        let segment = self.segment(&[source.as_slice(), &destination].concat());
        let next = |number: usize| self.extensions.get(number).map_or(6, |(kind, _)| *kind);
        let mut behind = Vec::new();
        for (number, (kind, body)) in self.extensions.iter().enumerate() {
            let length = body.len() + 2;
            let units = if *kind == 51 { length / 4 - 2 } else { length / 8 - 1 };
            behind.extend([next(number + 1), units as u8]);
            behind.extend(body);
        }
        behind.extend(segment);
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend((behind.len() as u16).to_be_bytes());
        bytes.extend([next(0), 57]);
        bytes.extend(source);
        bytes.extend(destination);
        bytes.extend(behind);
    }

    fn segment(&self, addresses: &[u8]) -> Vec<u8> {
        let header = 20 + self.tcp_options.len();
        let mut tcp = self.ports.0.to_be_bytes().to_vec();
        tcp.extend(self.ports.1.to_be_bytes());
        tcp.extend(self.sequence.to_be_bytes());
        tcp.extend(self.acknowledgement.to_be_bytes());
        tcp.extend([(header / 4 * 16) as u8, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(&self.tcp_options);
        tcp.extend(&self.payload);
        let check = segment_checksum(addresses, &tcp);
        tcp[16..18].copy_from_slice(&check.to_be_bytes());
        tcp
    }
}

/// RFC 1071, the plain way: one's complement of the one's complement sum, carries added as they come.
pub fn checksum(bytes: &[u8]) -> u16 {
    let sum = bytes.chunks(2).fold(0u16, |sum, pair| {
        let word = u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]);
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    });
    !sum
}

/// RFC 9293 §3.1, over the pseudo header of either family.
pub fn segment_checksum(addresses: &[u8], segment: &[u8]) -> u16 {
    let mut all = addresses.to_vec();
    all.extend((segment.len() as u32).to_be_bytes());
    all.extend([0, 0, 0, 6]);
    all.extend(segment);
    checksum(&all)
}
