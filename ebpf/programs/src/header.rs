use core::{ffi::c_void, ptr::null_mut};

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::generated::bpf_loop,
    macros::map,
    maps::{LruHashMap, PerCpuArray},
};
use ebpf_common::{
    Begins, DropReason, FlowKey, Headers, ListenerKey, Listeners, Opening, QuotaKey, Said,
    proxy_protocol::{Header, Line, Step, V1_MAX_LENGTH, V1_SIGNATURE},
    read_binary,
};

use crate::{
    atomic::opaque,
    context::Frame,
    maps::{Maps, netns},
};

/// The loader makes it larger where headers are read.
#[map]
static AWAITED: LruHashMap<FlowKey, u32> = LruHashMap::with_max_entries(1, 0);

/// Likewise.
#[map]
static SAID: LruHashMap<FlowKey, Said> = LruHashMap::with_max_entries(1, 0);

/// A line that is read, too large for the stack.
#[map]
static READING: PerCpuArray<Reading> = PerCpuArray::with_max_entries(1, 0);

/// 1: headers are read. Set by the loader; where it is 0, the verifier leaves out what reads them.
#[unsafe(no_mangle)]
static HEADERS: u64 = 0;

struct Reading {
    line: Line,
    said: Said,
    /// Where the payload begins, and how long it is; 0: it is read already.
    at: usize,
    length: usize,
    text: [u8; TEXT],
}

/// Room for a line, such that a mask keeps an index within.
const TEXT: usize = 128;

const _: () = assert!(V1_MAX_LENGTH < TEXT);

/// Connections that begin with headers, in maps.
pub(crate) struct Awaited;

impl Headers for Awaited {
    #[inline(always)]
    fn are_read(&self) -> bool {
        // SAFETY: reads a static; volatile, because the loader writes another value into the object.
        unsafe { core::ptr::read_volatile(&raw const HEADERS) != 0 }
    }

    #[inline(always)]
    fn expect(&self, syn: &Opening) {
        let flow = syn.flow();
        // What an earlier connection of the same ends has said, if nobody has asked.
        let _ = SAID.remove(&flow);
        // Without a row user space reads the header by itself.
        let _ = AWAITED.insert(&flow, syn.first_byte(), BPF_ANY.into());
    }

    #[inline(always)]
    fn is_first(&self, segment: &Opening) -> bool {
        let Some(expected) = AWAITED.get_ptr(&segment.flow()) else { return false };
        // SAFETY: the row is readable and aligned.
        unsafe { expected.read_volatile() == segment.first_byte() }
    }
}

/// What a program's first part answers where a header is to be read and judged: no action of XDP or TC. The parts are
/// functions, one after the other, because the stack has no room for them at once.
pub(crate) const READ_HEADER: i32 = 100;

/// Reads what a connection begins with, for [`judge`]: the first of two parts, which ends with what is not a line of
/// version 1.
#[inline(always)]
pub(crate) fn read(frame: &Frame) -> Option<()> {
    let segment = Opening::read(frame, || true).ok()?;
    let (at, length) = segment.payload();
    let read = read_binary(frame, opaque(at) & 1023, length);
    // SAFETY: the value is this processor's own, and a program is not interrupted by itself.
    let reading = unsafe { &mut *READING.get_ptr_mut(0)? };
    reading.said = read.unwrap_or(Said::nameless(Begins::Partly, 0));
    (reading.at, reading.length) = (at, if read.is_none() { length } else { 0 });
    Some(())
}

/// The second part: reads a line of version 1, if it is one, by the same automaton as user space. `load`: copies a number
/// of bytes from a place in the frame.
#[inline(always)]
pub(crate) fn read_line(load: impl Fn(usize, *mut u8, u32) -> bool) -> Option<()> {
    let reading = READING.get_ptr_mut(0)?;
    // SAFETY: as in `read`; the text has room for what is loaded.
    unsafe {
        let length = (*reading).length;
        let length = opaque(if length > V1_MAX_LENGTH { V1_MAX_LENGTH } else { length }) & (TEXT - 1);
        if length == 0 || !load((*reading).at, (&raw mut (*reading).text).cast(), length as u32) {
            return None;
        }
        (&raw mut (*reading).line).write(Line::new());
        bpf_loop(length as u32, step as *mut c_void, null_mut(), 0);
    }
    Some(())
}

/// Notes for user space what was read, and judges it. `None`: the connection is not refused.
#[inline(always)]
pub(crate) fn judge(frame: &Frame) -> Option<Kill> {
    let segment = &Opening::read(frame, || true).ok()?;
    let flow = segment.flow();
    // SAFETY: as in `read`.
    let said = unsafe { &(*READING.get_ptr_mut(0)?).said };
    let _ = AWAITED.remove(&flow);
    let limit = Maps.limit(&listener(segment))?;
    let quota = QuotaKey::new(netns(), limit.quota());
    let sources = Maps.sources(limit);
    let refused = limit.refuses_header(said, segment, &sources);
    let said = if refused.is_some() { &Said::nameless(Begins::Refused, 0) } else { said };
    let _ = SAID.insert(&flow, said, BPF_ANY.into());
    let reason = refused?;
    Some(Kill { reason, quota, transport: segment.transport_offset() })
}

/// A connection that is refused by its header.
pub(crate) struct Kill {
    pub(crate) reason: DropReason,
    /// Whose refusals it is counted among.
    pub(crate) quota: QuotaKey,
    /// Where the TCP header begins, from the start of the frame.
    pub(crate) transport: usize,
}

#[inline(always)]
fn listener(segment: &Opening) -> ListenerKey {
    segment.listener(netns())
}

/// Reads one byte of the line. 1: it ends with this byte.
#[inline(never)]
extern "C" fn step(index: u32, _: *mut c_void) -> i64 {
    let Some(reading) = READING.get_ptr_mut(0) else { return 1 };
    let at = opaque(index as usize) & (TEXT - 1);
    // SAFETY: as in `read_line`; the mask keeps the index within the text.
    let reading = unsafe { &mut *reading };
    // SAFETY: likewise.
    let byte = unsafe { (&raw const reading.text).cast::<u8>().add(at).read_volatile() };
    if at < V1_SIGNATURE.len() {
        // SAFETY: the index is below the length.
        let expected = unsafe { V1_SIGNATURE.as_ptr().add(at).read_volatile() };
        if byte == expected {
            return 0;
        }
        reading.said = Said::nameless(Begins::Otherwise, 0);
        return 1;
    }
    let length = at as u16 + 1;
    reading.said = match reading.line.step(byte) {
        Step::NeedMore => return 0,
        Step::Done(Header::Tcp(ends)) => Said::named(ends.source(), ends.destination(), length),
        Step::Done(_) => Said::nameless(Begins::Nameless, length),
        Step::NotProxy | Step::Malformed(_) => Said::nameless(Begins::Malformed, 0),
    };
    1
}
