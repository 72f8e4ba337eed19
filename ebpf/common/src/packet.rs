/// A frame, from its Ethernet header on. The host reads slices, the kernel half a context whose end the verifier
/// must see checked before each header is read.
pub trait Packet {
    /// A part of the frame that is known to be there.
    type Bytes: Bytes;

    /// `length` bytes from `offset` on; `None` where the frame is shorter.
    fn part(&self, offset: usize, length: usize) -> Option<Self::Bytes>;
}

/// Numbers in a part of a frame, as they lie there: in network order. Places are below the part's length.
pub trait Bytes {
    /// One byte.
    fn byte(&self, place: usize) -> u8;

    /// Two bytes.
    fn half(&self, place: usize) -> u16;

    /// Four bytes.
    fn word(&self, place: usize) -> u32;
}

impl<'a> Packet for &'a [u8] {
    type Bytes = &'a [u8];

    fn part(&self, offset: usize, length: usize) -> Option<&'a [u8]> {
        self.get(offset..)?.get(..length)
    }
}

impl Bytes for &[u8] {
    fn byte(&self, place: usize) -> u8 {
        self[place]
    }

    fn half(&self, place: usize) -> u16 {
        u16::from_ne_bytes([self[place], self[place + 1]])
    }

    fn word(&self, place: usize) -> u32 {
        u32::from_ne_bytes([self[place], self[place + 1], self[place + 2], self[place + 3]])
    }
}
