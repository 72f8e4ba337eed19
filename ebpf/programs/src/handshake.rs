use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_F_CURRENT_NETNS, BPF_TCP_LISTEN, BPF_TCP_NEW_SYN_RECV},
    helpers::generated::{bpf_sk_release, bpf_skc_lookup_tcp},
};
use ebpf_common::{Ends, HANDSHAKE, Handshakes, Headers, Opening};

use crate::{
    header::Awaited,
    maps::{filled, lately},
};

/// The kernel's own socket table, in the namespace of the interface that a frame came in by.
pub(crate) struct Table {
    /// The context that the program was called with, of XDP or TC.
    pub(crate) context: *mut c_void,
}

/// True: segments that open no connection are looked at too.
#[inline(always)]
pub(crate) fn wants_more() -> bool {
    Awaited.are_read() || filled_lately()
}

#[inline(always)]
fn filled_lately() -> bool {
    let filled = filled();
    // The clock of the last tick may be behind what another processor has noted.
    filled != 0 && lately().saturating_sub(filled) < HANDSHAKE
}

impl Handshakes for Table {
    #[inline(always)]
    fn filled_lately(&self) -> bool {
        filled_lately()
    }

    #[inline(always)]
    fn is_open(&self, segment: &Opening) -> bool {
        match segment.ends() {
            Ends::V4(mut ends) => self.awaits(&mut ends),
            Ends::V6(mut ends) => self.awaits(&mut ends),
        }
    }
}

impl Table {
    #[inline(always)]
    fn awaits<const WORDS: usize>(&self, ends: &mut [u32; WORDS]) -> bool {
        // SAFETY: the context is the program's, the words are on its stack, and their number tells the family.
        // What is found is released before the end.
        unsafe {
            let socket = bpf_skc_lookup_tcp(
                self.context,
                ends.as_mut_ptr().cast(),
                size_of::<[u32; WORDS]>() as u32,
                BPF_F_CURRENT_NETNS as u64,
                0,
            );
            if socket.is_null() {
                return false;
            }
            let state = (&raw const (*socket).state).read_volatile();
            bpf_sk_release(socket.cast());
            state == BPF_TCP_NEW_SYN_RECV || state == BPF_TCP_LISTEN
        }
    }
}
