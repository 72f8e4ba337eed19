//! A refused file costs little memory: counted by an allocator that remembers the peak.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use manifest::{Loader, Severity, Timestamp};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it came; only numbers are kept beside.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Aliases of aliases: nine times as much with each line.
fn bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..12 {
        text.push_str(&format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 9].join(", ")));
    }
    text
}

#[test]
fn a_refused_file_costs_less_than_64_mib() {
    let cases = [
        ("alias bomb", bomb()),
        ("one long list", format!("[{}]", "1,".repeat(8 << 20 >> 1))),
        ("one long list in a list", format!("- [{}]", "1,".repeat(4 << 20))),
        ("lists in a list", format!("- [{}]", "[],".repeat(4 << 20))),
        ("one value per line", "- a\n".repeat(4_000_000)),
        ("one mapping", (0..1_000_000).map(|i| format!("k{i}: v\n")).collect()),
        (
            "a long text, again and again",
            format!("a: &a {}\nb: [{}]\n", "y".repeat(200_000), "*a, ".repeat(1000)),
        ),
        ("open brackets", "[".repeat(16 << 20)),
        ("anchors", "&a [".repeat(1 << 20)),
        // Parsed once, built while it is counted, and refused at the very end.
        ("short list of nothing", "-\n".repeat((1 << 19) - 8) + "- ["),
        (
            "short keys of nothing",
            (0..(1 << 20) / 9).map(|i| format!("k{i:05}:\n")).collect::<String>() + "k: [",
        ),
        ("short lists", "- [a]\n".repeat((1 << 20) / 6 - 8) + "- ["),
    ];
    for (what, text) in cases {
        let mut loader = Loader::of_paths([]);
        let before = NOW.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let set = loader.load_texts([("f.yaml", text.as_bytes())], Timestamp(0));
        let cost = PEAK.load(Ordering::Relaxed) - before;
        assert!(cost < 64 << 20, "{what}: {cost} bytes");
        let said: Vec<String> = set.diagnostics.iter().map(ToString::to_string).collect();
        assert!(set.diagnostics.iter().any(|one| one.severity == Severity::Error), "{what}: {said:?}");
        let reason = if what.starts_with("short") { "[InvalidSyntax]" } else { "[OverBudget]" };
        assert!(said.iter().any(|line| line.contains(reason)), "{what}: {said:?}");
    }
}
