//! CRC-32C (Castagnoli), reflected, as iSCSI and the PROXY protocol use it. Source: RFC 3720 §12.1, B.4.

/// The polynomial, bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

static TABLE: [u32; 256] = table();

/// A checksum under way.
#[derive(Clone, Copy, Debug)]
pub struct Crc32c(u32);

impl Crc32c {
    /// Of no bytes yet.
    pub const fn new() -> Self {
        Self(u32::MAX)
    }

    /// With one more byte.
    pub fn push(&mut self, byte: u8) {
        let [low, ..] = self.0.to_le_bytes();
        self.0 = (self.0 >> 8) ^ TABLE[usize::from(low ^ byte)];
    }

    /// The checksum of the bytes so far.
    pub const fn value(self) -> u32 {
        !self.0
    }
}

impl Default for Crc32c {
    fn default() -> Self {
        Self::new()
    }
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(bytes: impl IntoIterator<Item = u8>) -> u32 {
        let mut crc = Crc32c::new();
        bytes.into_iter().for_each(|byte| crc.push(byte));
        crc.value()
    }

    /// The PDU of RFC 3720 B.4: an iSCSI SCSI read command.
    const PDU: [u8; 48] = [
        0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0,
        0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn the_vectors_of_rfc_3720_hold() {
        // The RFC prints the bytes as they go on the wire, lowest first.
        let wire = u32::from_le_bytes;
        assert_eq!(crc([0; 32]), wire([0xaa, 0x36, 0x91, 0x8a]));
        assert_eq!(crc([0xff; 32]), wire([0x43, 0xab, 0xa8, 0x62]));
        assert_eq!(crc(0..32), wire([0x4e, 0x79, 0xdd, 0x46]));
        assert_eq!(crc((0..32).rev()), wire([0x5c, 0xdb, 0x3f, 0x11]));
        assert_eq!(crc(PDU), wire([0x56, 0x3a, 0x96, 0xd9]));
        assert_eq!(crc(*b"123456789"), 0xe306_9283);
        assert_eq!(crc([]), 0);
    }
}
