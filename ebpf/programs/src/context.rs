use core::arch::asm;

use aya_ebpf::programs::{TcContext, XdpContext};
use ebpf_common::{Bytes, Packet};

use crate::atomic::opaque;

/// A frame whose bytes are read where they lie.
pub(crate) struct Frame {
    start: usize,
    end: usize,
}

/// A place in a frame, with as many bytes behind it as were asked for.
#[derive(Clone, Copy)]
pub(crate) struct Place(usize);

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
}

impl Packet for Frame {
    type Bytes = Place;

    #[inline(always)]
    fn part(&self, offset: usize, length: usize) -> Option<Place> {
        let at = opaque(self.start + offset);
        if at + length > self.end { None } else { Some(Place(at)) }
    }
}

/// Reads a number with one instruction. The compiler would read byte by byte: it takes packets for unaligned, which
/// these processors do not mind.
macro_rules! load {
    ($instruction:literal, $at:expr) => {{
        let value: u64;
        // SAFETY: `part` has checked that the bytes lie before the frame's end, and the verifier checks it again.
        unsafe {
            asm!($instruction, value = out(reg) value, at = in(reg) $at, options(readonly, nostack, preserves_flags))
        };
        value
    }};
}

impl Bytes for Place {
    #[inline(always)]
    fn byte(&self, place: usize) -> u8 {
        load!("{value} = *(u8 *)({at} + 0)", self.0 + place) as u8
    }

    #[inline(always)]
    fn half(&self, place: usize) -> u16 {
        load!("{value} = *(u16 *)({at} + 0)", self.0 + place) as u16
    }

    #[inline(always)]
    fn word(&self, place: usize) -> u32 {
        load!("{value} = *(u32 *)({at} + 0)", self.0 + place) as u32
    }
}

impl Place {
    /// Writes four bytes, as they are to lie there.
    #[inline(always)]
    pub(crate) fn set_word(self, place: usize, word: u32) {
        let (at, word) = (self.0 + place, u64::from(word));
        // SAFETY: as for reading; the frame is this program's alone while it runs.
        unsafe {
            asm!("*(u32 *)({at} + 0) = {word}", at = in(reg) at, word = in(reg) word, options(nostack, preserves_flags))
        };
    }
}
