use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_RECOMPUTE_CSUM, TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::{
        bpf_l4_csum_replace, bpf_redirect, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes,
    },
    macros::classifier,
    programs::TcContext,
};
use ebpf_common::{
    Answer, Ending, Event, Headers, Opening, RESET_V4, RESET_V6, Refusal, Reset, Tier, Verdict, is_unrelated,
    judge,
};

use crate::{
    atomic::opaque,
    context::Frame,
    handshake::{Table, wants_more},
    header::{self, Awaited, Kill, READ_HEADER},
    maps::{Maps, count_reason, may_answer, netns, refused, report},
};

/// Bytes of a frame that are made readable: every header that is looked at, IPv6 with a few extensions included.
const HEADERS: u32 = 256;

/// A frame for this station, and not for another one behind a bridge. Source: `include/uapi/linux/if_packet.h`.
const PACKET_HOST: u32 = 0;

#[classifier]
fn gateway_tc(context: TcContext) -> i32 {
    if is_unrelated(&Frame::of_tc(&context), wants_more) {
        return TC_ACT_UNSPEC;
    }
    let action = run(context.skb.skb);
    if Awaited.are_read() && action == READ_HEADER {
        read_header(context.skb.skb);
        read_line(context.skb.skb);
        return judge_header(context.skb.skb);
    }
    action
}

#[inline(never)]
extern "C" fn run(context: *mut __sk_buff) -> i32 {
    let context = hidden(context);
    let linear = context.data_end() - context.data();
    let wanted = context.len().min(HEADERS);
    if linear < wanted as usize {
        // What cannot be pulled is judged as malformed, and passes.
        let _ = context.pull_data(wanted);
    }
    // SAFETY: the context is the one that the program was called with.
    if unsafe { (*context.skb.skb).pkt_type } != PACKET_HOST {
        return TC_ACT_UNSPEC;
    }
    let handshakes = Table { context: context.skb.skb.cast() };
    match judge(&Frame::of_tc(&context), netns(), &Maps, &handshakes, &Awaited) {
        Verdict::Pass => TC_ACT_UNSPEC,
        Verdict::ReadHeader => READ_HEADER,
        Verdict::PassUnread(unread) => {
            count_reason(unread.index());
            TC_ACT_UNSPEC
        }
        Verdict::Refuse(refusal) => refuse(&context, &refusal),
    }
}

/// Not in the compiler's sight: it would read the context in the caller and pass on what it found there.
#[inline(always)]
fn hidden(context: *mut __sk_buff) -> TcContext {
    TcContext::new(opaque(context as usize) as *mut __sk_buff)
}

/// Reads a PROXY header. Where its connection is refused, the segment becomes a reset for our own socket, and what the
/// client sends again meets none.
#[inline(never)]
extern "C" fn read_header(context: *mut __sk_buff) -> i32 {
    header::read(&Frame::of_tc(&hidden(context)));
    // A constant would be put in the caller's place, and what is left in the register here is refused by the verifier.
    opaque(0) as i32
}

/// Likewise, of a line of text.
#[inline(never)]
extern "C" fn read_line(context: *mut __sk_buff) -> i32 {
    header::read_line(|at, to, length| {
        // SAFETY: the context is the one that the program was called with; the helper writes so many bytes, for which
        // the caller has room.
        unsafe { bpf_skb_load_bytes(context.cast(), at as u32, to.cast(), length) == 0 }
    });
    opaque(0) as i32
}

/// Likewise, once it is read.
#[inline(never)]
extern "C" fn judge_header(context: *mut __sk_buff) -> i32 {
    kill(&hidden(context));
    opaque(TC_ACT_UNSPEC as usize) as i32
}

#[inline(always)]
fn kill(context: &TcContext) -> Option<()> {
    let buffer = context.skb.skb;
    let killed = header::judge()?;
    let Kill { reason, quota, transport: tcp, .. } = killed;
    let [before, after] = Ending::of(load_value(context, tcp + 12)?, 0).halves;
    // Sum and flags change together, so that the whole frame's sum, if a device has made one, stays as it is. SAFETY: the
    // context is the one that the program was called with; no pointer into the frame is used any more.
    done(unsafe { bpf_l4_csum_replace(buffer, tcp as u32 + 16, before.into(), after.into(), 2) })?;
    store(context, tcp + 12, &after, 0)?;
    count_reason(reason.index());
    refused(&quota)?.tc().count(reason, Answer::Reset);
    header::report(&killed, Tier::Tc)
}

#[inline(always)]
fn refuse(context: &TcContext, refusal: &Refusal) -> i32 {
    let sent = !refusal.silent && may_answer() && answer(context, &refusal.opening).is_some();
    count_reason(refusal.reason.index());
    if let Some(refused) = refused(&refusal.quota) {
        refused.tc().count(refusal.reason, Answer::of(refusal, sent));
    }
    report(|not_told| Event::new(refusal, Tier::Tc, not_told));
    if !sent {
        return TC_ACT_SHOT;
    }
    // SAFETY: the context is the one that the program was called with; the helper takes numbers only.
    unsafe { bpf_redirect((*context.skb.skb).ifindex, 0) as i32 }
}

/// Makes the frame the answer to itself.
#[inline(always)]
fn answer(context: &TcContext, opening: &Opening) -> Option<()> {
    match Reset::answering(opening) {
        Reset::V4(packet) => replace::<RESET_V4>(context, opening, &packet),
        Reset::V6(packet) => replace::<RESET_V6>(context, opening, &packet),
    }
}

#[inline(always)]
fn replace<const WORDS: usize>(context: &TcContext, opening: &Opening, packet: &[u32; WORDS]) -> Option<()> {
    // At most 22, behind two VLAN tags; the verifier has lost that on the way over the stack.
    let offset = opaque(opening.network_offset()) & 31;
    let buffer = context.skb.skb;
    // Makes it one buffer of its own, and takes segmentation by a device off. SAFETY: the context is the one that
    // the program was called with; no pointer into the frame is used any more.
    done(unsafe { bpf_skb_change_tail(buffer, (offset + 4 * WORDS) as u32, 0) })?;
    store(context, offset, packet, BPF_F_RECOMPUTE_CSUM)?;
    swap_stations(context)?;
    let (header, field) = (offset + 4 * WORDS - 20, offset + 4 * WORDS - 4);
    let finished = load_value::<u16>(context, field)?;
    // A sum that is left to a device is not touched by a change of what it covers; every other one is. SAFETY: as
    // above.
    done(unsafe { bpf_l4_csum_replace(buffer, field as u32, 0, 1, 2) })?;
    if load_value::<u16>(context, field)? != finished {
        return store(context, field, &finished, 0);
    }
    // The device begins where the TCP header was.
    if header != opening.transport_offset() {
        return None;
    }
    store(context, field, &Reset::unfinished_checksum(opening), 0)
}

/// Back to where it came from.
#[inline(always)]
fn swap_stations(context: &TcContext) -> Option<()> {
    let [a, b, c, d, e, f]: [u16; 6] = load_value(context, 0)?;
    store(context, 0, &[d, e, f, a, b, c], 0)
}

#[inline(always)]
fn load_value<T: Copy + Default>(context: &TcContext, offset: usize) -> Option<T> {
    let mut value = T::default();
    // SAFETY: the helper writes the value's bytes, which are integers.
    let outcome = unsafe {
        bpf_skb_load_bytes(
            context.skb.skb.cast(),
            offset as u32,
            (&raw mut value).cast(),
            size_of::<T>() as u32,
        )
    };
    done(outcome)?;
    Some(value)
}

#[inline(always)]
fn store<T>(context: &TcContext, offset: usize, value: &T, flags: u32) -> Option<()> {
    // SAFETY: the helper reads the value's bytes, which are integers.
    done(unsafe {
        bpf_skb_store_bytes(
            context.skb.skb,
            offset as u32,
            (&raw const *value).cast(),
            size_of::<T>() as u32,
            flags.into(),
        )
    })
}

#[inline(always)]
fn done(outcome: i64) -> Option<()> {
    if outcome == 0 { Some(()) } else { None }
}
