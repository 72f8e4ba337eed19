use aya_ebpf::{
    bindings::{xdp_action, xdp_md},
    helpers::generated::{bpf_redirect, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    macros::xdp,
    programs::XdpContext,
};
use ebpf_common::{
    Answer, Bytes, Ending, Event, Headers, Opening, Packet, RESET_V4, RESET_V6, Reset, Tier, Verdict,
    is_unrelated, judge,
};

use crate::{
    atomic::opaque,
    context::Frame,
    handshake::{Table, wants_more},
    header::{self, Awaited, Kill, READ_HEADER},
    maps::{Maps, count_reason, may_answer, netns, refused, report},
};

#[xdp(frags)]
fn gateway_xdp_frags(context: XdpContext) -> u32 {
    with(context, frags)
}

#[inline(never)]
extern "C" fn frags(context: *mut xdp_md) -> i32 {
    run(&hidden(context), whole_length, transmit) as i32
}

#[xdp]
fn gateway_xdp(context: XdpContext) -> u32 {
    with(context, linear)
}

#[inline(never)]
extern "C" fn linear(context: *mut xdp_md) -> i32 {
    run(&hidden(context), linear_length, transmit) as i32
}

#[xdp(frags)]
fn gateway_veth_frags(context: XdpContext) -> u32 {
    with(context, veth_frags)
}

#[inline(never)]
extern "C" fn veth_frags(context: *mut xdp_md) -> i32 {
    run(&hidden(context), whole_length, redirect) as i32
}

#[xdp]
fn gateway_veth(context: XdpContext) -> u32 {
    with(context, veth_linear)
}

#[inline(never)]
extern "C" fn veth_linear(context: *mut xdp_md) -> i32 {
    run(&hidden(context), linear_length, redirect) as i32
}

#[xdp]
fn bare_drop(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// Length of a frame in one buffer or several.
#[inline(always)]
fn whole_length(context: &XdpContext) -> usize {
    // SAFETY: the context is the one that the program was called with.
    unsafe { bpf_xdp_get_buff_len(context.ctx) as usize }
}

/// Length of a frame in one buffer: kernels before 5.18 have no other, and no way to ask.
#[inline(always)]
fn linear_length(context: &XdpContext) -> usize {
    context.data_end() - context.data()
}

/// Sends the frame back from where it came.
#[inline(always)]
fn transmit(_: &XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Likewise, on a veth: XDP_TX leaves the frame in the queue of a peer that has no XDP program of its own, until
/// another frame happens to follow. What is redirected is flushed.
#[inline(always)]
fn redirect(context: &XdpContext) -> u32 {
    // SAFETY: the helper takes numbers only.
    unsafe { bpf_redirect(context.ingress_ifindex() as u32, 0) as u32 }
}

#[inline(always)]
fn run(context: &XdpContext, length: fn(&XdpContext) -> usize, send: fn(&XdpContext) -> u32) -> u32 {
    let handshakes = Table { context: context.ctx.cast() };
    match judge(&Frame::of_xdp(context), netns(), &Maps, &handshakes, &Awaited) {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::ReadHeader => READ_HEADER as u32,
        Verdict::PassUnread(unread) => {
            count_reason(unread.index());
            xdp_action::XDP_PASS
        }
        Verdict::Refuse(refusal) => {
            let sent = !refusal.silent
                && may_answer()
                && answer(context, &refusal.opening, length(context)).is_some();
            let became = Answer::of(&refusal, sent);
            count_reason(refusal.reason.index());
            if let Some(refused) = refused(&refusal.quota) {
                refused.xdp().count(refusal.reason, became);
            }
            report(|not_told| Event::new(&refusal, Tier::Xdp, not_told));
            if sent { send(context) } else { xdp_action::XDP_DROP }
        }
    }
}

/// Passes what most frames are, and does what the first part answers for the others.
#[inline(always)]
fn with(context: XdpContext, first: extern "C" fn(*mut xdp_md) -> i32) -> u32 {
    if is_unrelated(&Frame::of_xdp(&context), wants_more) {
        return xdp_action::XDP_PASS;
    }
    let action = first(context.ctx);
    if Awaited.are_read() && action == READ_HEADER {
        read_header(context.ctx);
        read_line(context.ctx);
        return judge_header(context.ctx);
    }
    action as u32
}

/// Not in the compiler's sight: it would read the context in the caller and pass on what it found there.
#[inline(always)]
fn hidden(context: *mut xdp_md) -> XdpContext {
    XdpContext::new(opaque(context as usize) as *mut xdp_md)
}

/// Reads a PROXY header. Where its connection is refused, the segment becomes a reset for our own socket, and what the
/// client sends again meets none.
#[inline(never)]
extern "C" fn read_header(context: *mut xdp_md) -> u32 {
    header::read(&Frame::of_xdp(&hidden(context)));
    // A constant would be put in the caller's place, and what is left in the register here is refused by the verifier.
    opaque(0) as u32
}

/// Likewise, of a line of text.
#[inline(never)]
extern "C" fn read_line(context: *mut xdp_md) -> u32 {
    header::read_line(|at, to, length| {
        // SAFETY: the context is the one that the program was called with; the helper writes so many bytes, for which
        // the caller has room.
        unsafe { bpf_xdp_load_bytes(context, at as u32, to.cast(), length) == 0 }
    });
    opaque(0) as u32
}

/// Likewise, once it is read.
#[inline(never)]
extern "C" fn judge_header(context: *mut xdp_md) -> u32 {
    kill(&hidden(context));
    opaque(xdp_action::XDP_PASS as usize) as u32
}

#[inline(always)]
fn kill(context: &XdpContext) -> Option<()> {
    let killed = header::judge()?;
    let Kill { reason, quota, transport, .. } = killed;
    let tcp = Frame::of_xdp(context).part(opaque(transport) & 1023, 20)?;
    let Ending { flags, sum, halves: _ } = Ending::of(tcp.word(12), tcp.word(16));
    tcp.set_word(12, flags);
    tcp.set_word(16, sum);
    count_reason(reason.index());
    refused(&quota)?.xdp().count(reason, Answer::Reset);
    header::report(&killed, Tier::Xdp)
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
fn replace<const WORDS: usize>(
    context: &XdpContext,
    opening: &Opening,
    length: usize,
    packet: &[u32; WORDS],
) -> Option<()> {
    // At most 22, behind two VLAN tags; the verifier has lost that on the way over the stack.
    let offset = opaque(opening.network_offset()) & 31;
    // SAFETY: the context is the one that the program was called with; pointers into the frame are taken anew
    // below.
    if unsafe { bpf_xdp_adjust_tail(context.ctx, (offset + 4 * WORDS) as i32 - length as i32) } != 0 {
        return None;
    }
    let frame = Frame::of_xdp(context);
    let stations = frame.part(0, 12)?;
    let (to, from) = ([stations.half(0), stations.half(2), stations.half(4)], [6, 8, 10]);
    let from = from.map(|place| stations.half(place));
    for (word, halves) in [[from[0], from[1]], [from[2], to[0]], [to[1], to[2]]].into_iter().enumerate() {
        let [[a, b], [c, d]] = halves.map(u16::to_ne_bytes);
        stations.set_word(4 * word, u32::from_ne_bytes([a, b, c, d]));
    }
    let network = frame.part(offset, 4 * WORDS)?;
    for (place, word) in packet.iter().enumerate() {
        network.set_word(4 * place, *word);
    }
    Some(())
}
