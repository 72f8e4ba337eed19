use aya_ebpf::{
    EbpfContext,
    bindings::{
        BPF_SK_STORAGE_GET_F_CREATE, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB,
        BPF_SOCK_OPS_STATE_CB_FLAG, BPF_TCP_CLOSE, BPF_TCP_FIN_WAIT1, BPF_TCP_LAST_ACK,
    },
    btf_maps::SkStorage,
    helpers::generated::{bpf_get_netns_cookie, bpf_sk_storage_get},
    macros::sock_ops,
    programs::SockOpsContext,
};
use ebpf_common::{EVICTED, Limit, ListenerKey, Listeners, Mark, SOURCE_OPEN_OFFSET, find};

use crate::{
    atomic,
    maps::{MARKS, Maps, SOURCE_MARKS, count, count_reason, note_filled, source, source_or_new},
};

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;

#[sock_ops]
fn gateway_sockops(context: SockOpsContext) -> u32 {
    match context.op() {
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => opened(&context),
        BPF_SOCK_OPS_STATE_CB if is_end(context.arg(1)) => ended(&context),
        _ => None,
    };
    1
}

/// States that a close of ours, or an abort, leads to: the connection needs no slot any more.
#[inline(always)]
fn is_end(state: u32) -> bool {
    state == BPF_TCP_FIN_WAIT1 || state == BPF_TCP_LAST_ACK || state == BPF_TCP_CLOSE
}

#[inline(always)]
fn opened(context: &SockOpsContext) -> Option<()> {
    let exact = local(context)?;
    let limit = find(&exact, &Maps)?;
    let count = count(limit.slot())?;
    let mark = storage(context, &MARKS, CREATE)?;
    // SAFETY: the storage is this socket's, which is locked; the row outlives the program.
    unsafe {
        if !(*mark).is_fresh() {
            return None;
        }
        *mark = Mark::counted(limit.slot(), (*count).epoch());
        atomic::add(count.cast(), 1);
        if limit.is_reached(core::ptr::read_volatile(count).open()) {
            note_filled();
        }
    }
    if limit.policy().counts() {
        open_source(context, limit, exact.netns());
    }
    let flags = context.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG;
    context.set_cb_flags(flags as i32).ok()
}

#[inline(always)]
fn ended(context: &SockOpsContext) -> Option<()> {
    let mark = storage(context, &MARKS, 0)?;
    // SAFETY: the storage is this socket's, which is locked; the row outlives the program.
    unsafe {
        if !(*mark).take_off() {
            return None;
        }
        let count = count((*mark).slot())?;
        if (*count).epoch() == (*mark).epoch() {
            atomic::add(count.cast(), -1);
        }
    }
    close_source(context);
    Some(())
}

/// Counts a connection by its source and its source's network.
#[inline(always)]
fn open_source(context: &SockOpsContext, limit: &Limit, netns: u64) -> Option<()> {
    let peer = peer(context, netns)?;
    let places = limit.policy().counted(&peer, &Maps.sources(limit));
    let mark = storage(context, &SOURCE_MARKS, CREATE)?;
    for (which, place) in places.iter().enumerate() {
        let Some(place) = place else { continue };
        let Some(row) = source_or_new(place) else { continue };
        // SAFETY: the storage is this socket's, which is locked; the row outlives the program.
        unsafe {
            (*mark).set(which, *place, (*row).generation());
            atomic::add(row.cast(), 1);
            if limit.policy().is_reached(which, core::ptr::read_volatile(row).open()) {
                note_filled();
            }
        }
    }
    Some(())
}

/// Takes a connection off the rows that count it, unless they are other ones by now.
#[inline(always)]
fn close_source(context: &SockOpsContext) -> Option<()> {
    let mark = storage(context, &SOURCE_MARKS, 0)?;
    for which in 0..2 {
        // SAFETY: the storage is this socket's, which is locked.
        let Some((place, generation)) = (unsafe { (*mark).take(which) }) else { continue };
        match source(&place) {
            // SAFETY: the row outlives the program.
            Some(row) if unsafe { (*row).generation() } == generation => unsafe {
                atomic::add(row.cast(), -1)
            },
            _ => count_reason(EVICTED),
        }
    }
    Some(())
}

// The atomic instruction adds to a row's first field.
const _: () = assert!(ebpf_common::COUNT_OPEN_OFFSET == 0 && SOURCE_OPEN_OFFSET == 0);

/// What makes the storage of a socket that has none.
const CREATE: u64 = BPF_SK_STORAGE_GET_F_CREATE as u64;

/// The key of the connection's other end.
#[inline(always)]
fn peer(context: &SockOpsContext, netns: u64) -> Option<ListenerKey> {
    let ops = context.ops;
    // SAFETY: as for the connection's own end, below.
    let (v4, v6) = unsafe {
        ((&raw const (*ops).remote_ip4).read_volatile(), (&raw const (*ops).remote_ip6).cast::<u32>())
    };
    // SAFETY: likewise.
    let v6 = unsafe {
        [v6.read_volatile(), v6.add(1).read_volatile(), v6.add(2).read_volatile(), v6.add(3).read_volatile()]
    };
    match context.family() {
        AF_INET => Some(ListenerKey::v4(netns, v4, 0)),
        AF_INET6 => Some(ListenerKey::v6(netns, v6, 0)),
        _ => None,
    }
}

/// The key of the connection's own end.
#[inline(always)]
fn local(context: &SockOpsContext) -> Option<ListenerKey> {
    let ops = context.ops;
    // SAFETY: the context is the one that the program was called with. Volatile, and before anything branches on
    // them: the verifier wants each read at a fixed offset, and the compiler would merge those of two branches.
    let (v4, v6) = unsafe {
        ((&raw const (*ops).local_ip4).read_volatile(), (&raw const (*ops).local_ip6).cast::<u32>())
    };
    // SAFETY: likewise.
    let v6 = unsafe {
        [v6.read_volatile(), v6.add(1).read_volatile(), v6.add(2).read_volatile(), v6.add(3).read_volatile()]
    };
    // SAFETY: likewise.
    let netns = unsafe { bpf_get_netns_cookie(context.as_ptr()) };
    let port = (context.local_port() as u16).to_be();
    match context.family() {
        AF_INET => Some(ListenerKey::v4(netns, v4, port)),
        AF_INET6 => Some(ListenerKey::v6(netns, v6, port)),
        _ => None,
    }
}

/// The socket's storage.
#[inline(always)]
fn storage<T>(context: &SockOpsContext, map: &'static SkStorage<T>, flags: u64) -> Option<*mut T> {
    // SAFETY: the context is the one that the program was called with; a null socket is seen below, and the
    // helper is given a map of the kind that it works on.
    unsafe {
        let socket = (*context.ops).__bindgen_anon_2.sk;
        if socket.is_null() {
            return None;
        }
        let map = (&raw const *map).cast_mut().cast();
        let storage: *mut T = bpf_sk_storage_get(map, socket.cast(), core::ptr::null_mut(), flags).cast();
        if storage.is_null() { None } else { Some(storage) }
    }
}
