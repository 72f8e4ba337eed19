use core::cell::Cell;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::SkStorage,
    helpers::generated::{bpf_ktime_get_coarse_ns, bpf_ktime_get_ns},
    macros::{btf_map, map},
    maps::{
        Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf, lpm_trie::Key as NetworkOf,
    },
};
use ebpf_common::{
    ABI_VERSION, Count, Desk, Event, Limit, ListenerKey, Listeners, Mark, NetworkKey, Networks, QuotaKey,
    REASONS as REASON_COUNT, Rate, Refused, SourceCount, SourceKey, SourceMark, Sources,
};

/// Listening sockets over all namespaces that share the pins.
const SOCKETS: u32 = 65_536;

/// Networks of all policies.
const NETWORK_COUNT: u32 = 1 << 20;

/// Its size is what it says.
#[map]
static ABI: Array<u32> = Array::with_max_entries(ABI_VERSION, 0);

#[map]
static LIMITS: HashMap<ListenerKey, Limit> = HashMap::with_max_entries(SOCKETS, BPF_F_NO_PREALLOC);

#[map]
static NETWORKS: LpmTrie<NetworkKey, u32> = LpmTrie::with_max_entries(NETWORK_COUNT, BPF_F_NO_PREALLOC);

/// The loader makes it larger where a policy counts sources: its memory is taken when it is made.
#[map]
static SOURCES: LruHashMap<SourceKey, SourceCount> = LruHashMap::with_max_entries(1, 0);

/// Likewise. Apart from the counts: whoever sends SYNs from forged addresses makes rows here, and none there.
#[map]
static BUCKETS: LruHashMap<SourceKey, u64> = LruHashMap::with_max_entries(1, 0);

#[map]
static PORTS: Array<u32> = Array::with_max_entries(1 << 16, 0);

#[map]
static COUNTS: Array<Count> = Array::with_max_entries(SOCKETS, 0);

#[map]
static SLOTS: HashMap<u32, QuotaKey> = HashMap::with_max_entries(SOCKETS, BPF_F_NO_PREALLOC);

#[map]
static REFUSED: PerCpuHashMap<QuotaKey, Refused> =
    PerCpuHashMap::with_max_entries(SOCKETS, BPF_F_NO_PREALLOC);

#[map]
static REASONS: PerCpuArray<u64> = PerCpuArray::with_max_entries(REASON_COUNT, 0);

#[map]
static FILLED: Array<u64> = Array::with_max_entries(1, 0);

#[map]
static DESK: PerCpuArray<Desk> = PerCpuArray::with_max_entries(1, 0);

/// Bytes of events that wait to be read: some 2,300 of them.
const EVENT_BYTES: u32 = 256 << 10;

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_BYTES, 0);

#[btf_map]
pub(crate) static MARKS: SkStorage<Mark> = SkStorage::new();

#[btf_map]
pub(crate) static SOURCE_MARKS: SkStorage<SourceMark> = SkStorage::new();

/// Cookie of the namespace that the interfaces belong to, set by the loader.
#[unsafe(no_mangle)]
static NETNS: u64 = 0;

/// Nanoseconds between resets of one processor, set by the loader.
#[unsafe(no_mangle)]
static RESET_INTERVAL: u64 = 0;

/// Nanoseconds between events of one processor, set by the loader.
#[unsafe(no_mangle)]
static EVENT_INTERVAL: u64 = 0;

/// True: this processor may send one more reset now.
#[inline(always)]
pub(crate) fn may_answer() -> bool {
    let Some(desk) = DESK.get_ptr_mut(0) else { return false };
    // SAFETY: reads a static; volatile, because the loader writes another value into the object.
    let interval = unsafe { core::ptr::read_volatile(&raw const RESET_INTERVAL) };
    // SAFETY: the value is this processor's own, and a program is not interrupted by itself.
    unsafe { (*desk).answers.admits(now(), interval) }
}

/// Tells of a refused connection, if this processor has not told of too many lately. Whoever reads is not waited for:
/// what finds no room is counted. `event`: is given how many were not told of.
#[inline(always)]
pub(crate) fn report(event: impl FnOnce(u64) -> Event) {
    let Some(desk) = DESK.get_ptr_mut(0) else { return };
    // SAFETY: reads a static; volatile, because the loader writes another value into the object.
    let interval = unsafe { core::ptr::read_volatile(&raw const EVENT_INTERVAL) };
    // SAFETY: the value is this processor's own, and a program is not interrupted by itself.
    let telling = unsafe { &mut (*desk).telling };
    if !telling.admits(now, interval) {
        return;
    }
    match EVENTS.reserve::<Event>(0) {
        Some(mut room) => {
            room.write(event(telling.untold()));
            room.submit(0);
            telling.sent();
        }
        None => telling.lost(),
    }
}

/// Nanoseconds of the monotonic clock.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_ns() }
}

/// Likewise, as of the last tick, at a fifth of the cost: 10 ms behind at most.
#[inline(always)]
pub(crate) fn lately() -> u64 {
    // SAFETY: the helper takes nothing.
    unsafe { bpf_ktime_get_coarse_ns() }
}

/// When a quota last became full; 0: none has.
#[inline(always)]
pub(crate) fn filled() -> u64 {
    let Some(filled) = FILLED.get_ptr(0) else { return 0 };
    // SAFETY: the row is there as long as the map; volatile, because other processors write it.
    unsafe { core::ptr::read_volatile(filled) }
}

/// A quota has become full just now.
#[inline(always)]
pub(crate) fn note_filled() {
    if let Some(filled) = FILLED.get_ptr_mut(0) {
        // SAFETY: likewise; whoever writes last has the latest time, or one that is as good.
        unsafe { core::ptr::write_volatile(filled, now()) };
    }
}

/// The namespace that frames come in to.
#[inline(always)]
pub(crate) fn netns() -> u64 {
    // SAFETY: reads a static; volatile, because the loader writes another value into the object.
    unsafe { core::ptr::read_volatile(&raw const NETNS) }
}

/// The maps as `ebpf_common` asks for them.
pub(crate) struct Maps;

impl Listeners for Maps {
    #[inline(always)]
    fn limit(&self, listener: &ListenerKey) -> Option<&Limit> {
        if PORTS.get(listener.port().into()).is_none_or(|listened| *listened == 0) {
            return None;
        }
        // SAFETY: until the program has ended, the kernel keeps the memory of a row that is removed meanwhile for
        // rows of this very map.
        unsafe { LIMITS.get(listener) }
    }

    #[inline(always)]
    fn open(&self, limit: &Limit) -> i64 {
        let Some(count) = count(limit.slot()) else { return 0 };
        // SAFETY: the row is readable as above; volatile, because other processors add to it.
        unsafe { core::ptr::read_volatile(count) }.open()
    }

    #[inline(always)]
    fn sources(&self, limit: &Limit) -> impl Sources {
        Known { slot: limit.slot(), source: Cell::new(core::ptr::null_mut()), lately: Cell::new(0) }
    }
}

/// Who connects, as [`Sources`] asks for it. A bucket that two processors take from at once may give a token more:
/// accept has a bucket too.
struct Known {
    slot: u32,
    /// The source's row, once it was looked up and is there, else null.
    source: Cell<*mut SourceCount>,
    /// The time of the last tick, once it was asked for.
    lately: Cell<u64>,
}

impl Known {
    #[inline(always)]
    fn lately(&self) -> u64 {
        if self.lately.get() == 0 {
            self.lately.set(lately());
        }
        self.lately.get()
    }
}

impl Sources for Known {
    #[inline(always)]
    fn networks(&self, key: &NetworkKey) -> Networks {
        Networks(NETWORKS.get(NetworkOf::new(NetworkKey::BITS, *key)).copied().unwrap_or(0))
    }

    #[inline(always)]
    fn open(&self, key: &SourceKey) -> i64 {
        let Some(row) = source(key) else { return 0 };
        self.source.set(row);
        open(row)
    }

    #[inline(always)]
    fn open_of_network(&self, key: &SourceKey) -> i64 {
        source(key).map_or(0, open)
    }

    #[inline(always)]
    fn spend(&self, key: &SourceKey, rate: &Rate) -> bool {
        // A source that has connections has its bucket with their count, which is at hand: no other look-up.
        let row = self.source.get();
        // SAFETY: where there is a row, it is readable.
        if !row.is_null() && unsafe { (*row).generation() } != 0 {
            // SAFETY: the row is readable and aligned; volatile, because other processors write it.
            return unsafe { take((*row).full_at(), rate, self.lately()) };
        }
        match BUCKETS.get_ptr_mut(key) {
            // SAFETY: likewise.
            Some(bucket) => unsafe { take(bucket, rate, self.lately()) },
            None => {
                let mut bucket = 0;
                // SAFETY: it is on the stack.
                let taken = unsafe { take(&raw mut bucket, rate, self.lately()) };
                // Nobody is refused for want of room.
                let _ = BUCKETS.insert(key, bucket, 0);
                taken
            }
        }
    }

    #[inline(always)]
    fn spend_of_listener(&self, rate: &Rate) -> bool {
        let Some(count) = count(self.slot) else { return true };
        // SAFETY: the row is readable; volatile, because other processors write it.
        unsafe { take((*count).full_at(), rate, self.lately()) }
    }
}

/// Connections that a row counts.
#[inline(always)]
fn open(row: *mut SourceCount) -> i64 {
    // SAFETY: the row is readable; volatile, because other processors add to it.
    unsafe { core::ptr::read_volatile(row) }.open()
}

/// Takes a token from a bucket. Whom the time of the last tick would refuse, the exact time decides, and so nobody is refused
/// who has a token. A bucket that was full may have become so a tick too early; accept has a bucket too.
///
/// # Safety
///
/// `full_at` points to 8 aligned bytes that may be written.
#[inline(always)]
unsafe fn take(full_at: *mut u64, rate: &Rate, lately: u64) -> bool {
    // SAFETY: the caller vouches for the pointer.
    unsafe {
        let before = full_at.read_volatile();
        let next = rate.after(before, lately).or_else(|| rate.after(before, now()));
        match next {
            Some(next) => {
                full_at.write_volatile(next);
                true
            }
            None => false,
        }
    }
}

/// The row that counts a source's or a network's connections.
#[inline(always)]
pub(crate) fn source(place: &SourceKey) -> Option<*mut SourceCount> {
    SOURCES.get_ptr_mut(place)
}

/// Likewise, made if it is missing: it has the source's bucket from then on.
#[inline(always)]
pub(crate) fn source_or_new(place: &SourceKey) -> Option<*mut SourceCount> {
    if let Some(source) = source(place) {
        return Some(source);
    }
    // SAFETY: as for a row of the other map.
    let full_at = unsafe { BUCKETS.get(place) }.copied().unwrap_or(0);
    // Another processor may have made it meanwhile: one row is for both.
    let _ = SOURCES.insert(place, SourceCount::new(now(), full_at), BPF_NOEXIST.into());
    source(place)
}

/// The row that counts a quota's connections.
#[inline(always)]
pub(crate) fn count(slot: u32) -> Option<*mut Count> {
    COUNTS.get_ptr_mut(slot)
}

/// This processor's refusals of a quota.
#[inline(always)]
pub(crate) fn refused(quota: &QuotaKey) -> Option<&'static mut Refused> {
    // SAFETY: the value is this processor's own, and a program is not interrupted by itself.
    REFUSED.get_ptr_mut(quota).map(|refused| unsafe { &mut *refused })
}

/// Counts a reason on this processor.
#[inline(always)]
pub(crate) fn count_reason(index: u32) {
    if let Some(counter) = REASONS.get_ptr_mut(index) {
        // SAFETY: the value is this processor's own, and a program is not interrupted by itself.
        unsafe { *counter += 1 };
    }
}
