use aya_ebpf::programs::{TcContext, XdpContext};
use ebpf_common::Packet;

use crate::atomic::opaque;

/// A frame whose bytes are read where they lie.
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

impl Frame {
    /// The frame as it is now: what moves its ends makes it stale.
    #[inline(always)]
    pub(crate) fn of_xdp(context: &XdpContext) -> Self {
        Self { start: context.data(), end: context.data_end() }
    }

    /// Likewise. What is not linear is not seen.
    #[inline(always)]
    pub(crate) fn of_tc(context: &TcContext) -> Self {
        Self { start: context.data(), end: context.data_end() }
    }

    /// A place for `N` bytes at `offset`, if the frame has them.
    #[inline(always)]
    pub(crate) fn place<const N: usize>(&self, offset: usize) -> Option<*mut [u8; N]> {
        let at = opaque(self.start + offset);
        if at + N > self.end { None } else { Some(at as *mut [u8; N]) }
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let place = self.place::<N>(offset)?;
        // SAFETY: `place` has checked that all N bytes lie before the frame's end; any address is aligned for u8.
        Some(unsafe { *place })
    }
}
