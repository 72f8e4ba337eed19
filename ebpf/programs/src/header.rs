use core::{ffi::c_void, ptr::null_mut};

use aya_ebpf::{
    bindings::BPF_ANY,
    helpers::generated::bpf_loop,
    macros::map,
    maps::{LruHashMap, PerCpuArray},
};
use ebpf_common::{
    Beginning, Begins, Bytes, DropReason, Event, FlowKey, Headers, Limit, Listeners, Opening, Packet,
    QuotaKey, Said, Tier,
    proxy_protocol::{Header, Line, Progress, Step, V1_MAX_LENGTH, V1_SIGNATURE, WholeLine},
    read_binary,
};

use crate::{
    atomic::{copy, opaque},
    context::Frame,
    maps::{self, Maps, netns},
};

/// The loader makes it larger where headers are read.
#[map]
static BEGINNINGS: LruHashMap<FlowKey, Beginning> = LruHashMap::with_max_entries(1, 0);

/// A line that is read, too large for the stack.
#[map]
static READING: PerCpuArray<Reading> = PerCpuArray::with_max_entries(1, 0);

/// 1: headers are read. Set by the loader; where it is 0, the verifier leaves out what reads them.
#[unsafe(no_mangle)]
static HEADERS: u64 = 0;

struct Reading {
    whole: WholeLine,
    line: Line,
    said: Said,
    /// What brought the first byte, and the row of the socket that it is for.
    segment: Opening,
    limit: Limit,
    /// Bytes that may be a line; 0: it is read already.
    length: usize,
    text: [u8; TEXT + WholeLine::BEYOND],
    /// What has not come, and what has not been read, to be copied: to make one takes a call for its zeros.
    awaited: Beginning,
    unread: WholeLine,
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
        // In place of what an earlier connection of the same ends has said, if nobody has asked. Without a row user space
        // reads the header by itself.
        let Some(reading) = READING.get_ptr_mut(0) else { return };
        // SAFETY: the value is this processor's own, and a program is not interrupted by itself.
        let awaited = unsafe { &mut (*reading).awaited };
        awaited.with(syn.first_byte());
        let _ = BEGINNINGS.insert(&syn.flow(), &*awaited, BPF_ANY.into());
    }

    #[inline(always)]
    fn begins(&self, segment: &Opening, limit: &Limit) -> bool {
        // SAFETY: the row is readable, and other processors do not see this connection's segments meanwhile.
        let row = unsafe { BEGINNINGS.get(&segment.flow()) };
        if !row.is_some_and(|row| row.is_awaited(segment.first_byte())) {
            return false;
        }
        let Some(reading) = READING.get_ptr_mut(0) else { return false };
        // SAFETY: the value is this processor's own, and a program is not interrupted by itself.
        unsafe {
            copy(segment, &raw mut (*reading).segment);
            copy(limit, &raw mut (*reading).limit);
        }
        true
    }
}

/// What a program's first part answers where a header is to be read and judged: no action of XDP or TC. The parts are
/// functions, one after the other, because the stack has no room for them at once.
pub(crate) const READ_HEADER: i32 = 100;

/// Reads what a connection begins with, for [`judge`]: the first of two parts, which ends with what is not a line of
/// version 1.
#[inline(always)]
pub(crate) fn read(frame: &Frame) -> Option<()> {
    // SAFETY: as in `begins`.
    let reading = unsafe { &mut *READING.get_ptr_mut(0)? };
    let (at, length) = reading.segment.payload();
    let read = read_binary(frame, opaque(at) & 1023, length);
    reading.said = read.unwrap_or(Said::nameless(Begins::Partly, 0));
    reading.length = if read.is_none() { length } else { 0 };
    Some(())
}

/// The second part: reads a line of version 1, if it is one: number by number, and what is not as senders write it by the
/// same automaton as user space. `load`: copies a number of bytes from a place in the frame.
#[inline(always)]
pub(crate) fn read_line(load: impl Fn(usize, *mut u8, u32) -> bool) -> Option<()> {
    let reading = READING.get_ptr_mut(0)?;
    // SAFETY: as in `begins`; the text has room for what is loaded.
    unsafe {
        let length = (*reading).length;
        let length = opaque(if length > V1_MAX_LENGTH { V1_MAX_LENGTH } else { length }) & (TEXT - 1);
        if length == 0
            || !load((*reading).segment.payload().0, (&raw mut (*reading).text).cast(), length as u32)
        {
            return None;
        }
        copy(&(*reading).unread, &raw mut (*reading).whole);
        if (*reading).whole.begin(&Text(reading)) {
            bpf_loop(WholeLine::NUMBERS, number as *mut c_void, null_mut(), 0);
        }
        if (*reading).length != 0 {
            (&raw mut (*reading).line).write(Line::new());
            bpf_loop(length as u32, step as *mut c_void, null_mut(), 0);
        }
    }
    Some(())
}

/// The line, as far as it is read.
struct Text(*const Reading);

/// Some bytes of it, and of what lies beyond.
struct Part(*const u8);

impl Packet for Text {
    type Bytes = Part;

    #[inline(always)]
    fn part(&self, offset: usize, _: usize) -> Option<Part> {
        // SAFETY: the mask keeps it within the text, and more than is asked for at once lies beyond.
        let at = unsafe { (&raw const (*self.0).text).cast::<u8>().add(opaque(offset) & (TEXT - 1)) };
        Some(Part(at))
    }
}

impl Bytes for Part {
    #[inline(always)]
    fn byte(&self, place: usize) -> u8 {
        // SAFETY: as in `part`; this processor's own.
        unsafe { self.0.add(place).read_volatile() }
    }

    fn half(&self, place: usize) -> u16 {
        u16::from_ne_bytes([self.byte(place), self.byte(place + 1)])
    }

    fn word(&self, place: usize) -> u32 {
        let [a, b] = [self.half(place), self.half(place + 2)].map(u16::to_ne_bytes);
        u32::from_ne_bytes([a[0], a[1], b[0], b[1]])
    }
}

/// Reads one number of the line. 1: it was the last, or the line is another one.
#[inline(never)]
extern "C" fn number(_: u32, _: *mut c_void) -> i64 {
    let Some(reading) = READING.get_ptr_mut(0) else { return 1 };
    // SAFETY: as in `begins`.
    let (whole, length) = unsafe { (&mut (*reading).whole, (*reading).length) };
    match whole.step(&Text(reading), length) {
        Progress::More => return 0,
        // SAFETY: likewise.
        Progress::Whole(said) => unsafe { ((*reading).said, (*reading).length) = (said, 0) },
        Progress::Other => {}
    }
    1
}

/// Notes for user space what was read, and judges it. `None`: the connection is not refused.
#[inline(always)]
pub(crate) fn judge() -> Option<Kill> {
    // SAFETY: as in `begins`.
    let Reading { said, segment, limit, .. } = unsafe { &*READING.get_ptr_mut(0)? };
    let flow = segment.flow();
    let quota = QuotaKey::new(netns(), limit.quota());
    let sources = Maps.sources(limit);
    let refused = limit.refuses_header(said, segment, &sources);
    if let Some(beginning) = BEGINNINGS.get_ptr_mut(&flow) {
        let said = if refused.is_some() { Said::nameless(Begins::Refused, 0) } else { *said };
        // SAFETY: as in `begins`; user space asks once the segment has come to its socket, which is after this.
        unsafe { (*beginning).come(said) };
    }
    let reason = refused?;
    Some(Kill { reason, quota, transport: segment.transport_offset(), flow })
}

/// Tells of it, and of who was really calling.
#[inline(always)]
pub(crate) fn report(killed: &Kill, tier: Tier) -> Option<()> {
    // SAFETY: as in `begins`.
    let said = unsafe { &(*READING.get_ptr_mut(0)?).said };
    let Kill { reason, quota, transport: _, flow } = killed;
    maps::report(|not_told| Event::of_header((quota, *reason), flow, said, tier, not_told));
    Some(())
}

/// A connection that is refused by its header.
pub(crate) struct Kill {
    pub(crate) reason: DropReason,
    /// Whose refusals it is counted among.
    pub(crate) quota: QuotaKey,
    /// Where the TCP header begins, from the start of the frame.
    pub(crate) transport: usize,
    /// Both ends.
    pub(crate) flow: FlowKey,
}

/// Reads one byte of the line. 1: it ends with this byte.
#[inline(never)]
extern "C" fn step(index: u32, _: *mut c_void) -> i64 {
    let Some(reading) = READING.get_ptr_mut(0) else { return 1 };
    let at = opaque(index as usize) & (TEXT - 1);
    // SAFETY: as in `begins`.
    let (byte, reading) =
        unsafe { ((&raw const (*reading).text).cast::<u8>().add(at).read_volatile(), &mut *reading) };
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
