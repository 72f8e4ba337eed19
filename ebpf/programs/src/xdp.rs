use aya_ebpf::{
    bindings::xdp_action,
    helpers::generated::{bpf_xdp_adjust_tail, bpf_xdp_get_buff_len},
    macros::xdp,
    programs::XdpContext,
};
use ebpf_common::{Opening, RESET_V4, RESET_V6, Reset, Verdict, judge};

use crate::{
    atomic::opaque,
    context::Frame,
    maps::{Maps, count_reason, netns, refused},
};

#[xdp(frags)]
fn gateway_xdp_frags(context: XdpContext) -> u32 {
    // SAFETY: the context is the one that the program was called with.
    run(&context, || unsafe { bpf_xdp_get_buff_len(context.ctx) } as usize)
}

#[xdp]
fn gateway_xdp(context: XdpContext) -> u32 {
    run(&context, || context.data_end() - context.data())
}

#[xdp]
fn bare_drop(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// `length`: of the frame, whose later buffers only kernels from 5.18 on tell of.
#[inline(always)]
fn run(context: &XdpContext, length: impl Fn() -> usize) -> u32 {
    match judge(&Frame::of_xdp(context), netns(), &Maps) {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::PassUnread(unread) => {
            count_reason(unread.index());
            xdp_action::XDP_PASS
        }
        Verdict::Refuse(refusal) => {
            count_reason(refusal.reason.index());
            if let Some(refused) = refused(&refusal.listener) {
                refused.count_xdp();
            }
            match answer(context, &refusal.opening, length()) {
                Some(()) => xdp_action::XDP_TX,
                None => xdp_action::XDP_DROP,
            }
        }
    }
}

/// Makes the frame the answer to itself.
#[inline(always)]
fn answer(context: &XdpContext, opening: &Opening, length: usize) -> Option<()> {
    match Reset::answering(opening) {
        Reset::V4(packet) => replace::<RESET_V4>(context, opening, length, &packet),
        Reset::V6(packet) => replace::<RESET_V6>(context, opening, length, &packet),
    }
}

#[inline(always)]
fn replace<const N: usize>(
    context: &XdpContext,
    opening: &Opening,
    length: usize,
    packet: &[u8; N],
) -> Option<()> {
    // At most 22, behind two VLAN tags; the verifier has lost that on the way over the stack.
    let offset = opaque(opening.network_offset()) & 31;
    // SAFETY: the context is the one that the program was called with; pointers into the frame are taken anew
    // below.
    if unsafe { bpf_xdp_adjust_tail(context.ctx, (offset + N) as i32 - length as i32) } != 0 {
        return None;
    }
    let frame = Frame::of_xdp(context);
    let stations = frame.place::<12>(0)?;
    let network = frame.place::<N>(offset)?;
    // SAFETY: `place` has checked both places; they are this program's alone while it runs.
    unsafe {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *stations;
        *stations = [g, h, i, j, k, l, a, b, c, d, e, f];
        *network = *packet;
    }
    Some(())
}
