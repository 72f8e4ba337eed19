use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    macros::classifier,
    programs::TcContext,
};
use ebpf_common::{Verdict, judge};

use crate::{
    context::Frame,
    maps::{Maps, count_reason, netns, refused},
};

/// Bytes of a frame that are made readable: every header that is looked at, IPv6 with a few extensions included.
const HEADERS: u32 = 256;

/// A frame for this station, and not for another one behind a bridge. Source: `include/uapi/linux/if_packet.h`.
const PACKET_HOST: u32 = 0;

#[classifier]
fn gateway_tc(context: TcContext) -> i32 {
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
    match judge(&Frame::of_tc(&context), netns(), &Maps) {
        Verdict::Pass => TC_ACT_UNSPEC,
        Verdict::PassUnread(unread) => {
            count_reason(unread.index());
            TC_ACT_UNSPEC
        }
        Verdict::Refuse(refusal) => {
            count_reason(refusal.reason.index());
            if let Some(refused) = refused(&refusal.quota) {
                refused.count_tc();
            }
            TC_ACT_SHOT
        }
    }
}
