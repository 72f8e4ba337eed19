/// Bytes of a frame, from its Ethernet header on. The host reads slices, the kernel half a context whose end the
/// verifier must see checked at each read.
pub trait Packet {
    /// `N` bytes at `offset`; `None` where the frame is shorter.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
}

impl Packet for [u8] {
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.get(offset..)?.first_chunk().copied()
    }
}
