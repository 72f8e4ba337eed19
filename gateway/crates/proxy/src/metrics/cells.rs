use std::{
    array,
    sync::{
        OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Counters in as many copies as threads may write at once, so that an increment stays in the cache of its
/// core. Copies are made by the first thread that counts in them, and summed when somebody reads.
pub(super) struct Cells<const N: usize>([OnceLock<Box<Row<N>>>; COPIES]);

/// More threads than this share copies, which costs time and never a count.
const COPIES: usize = 8;

/// One copy, alone on its cache lines.
#[repr(align(64))]
struct Row<const N: usize>([AtomicU64; N]);

impl<const N: usize> Cells<N> {
    /// All zero.
    pub(super) fn new() -> Self {
        Self(array::from_fn(|_| OnceLock::new()))
    }

    /// Adds to one counter.
    pub(super) fn add(&self, counter: usize, amount: u64) {
        self.row()[counter].fetch_add(amount, Ordering::Relaxed);
    }

    /// Adds to several counters at once.
    pub(super) fn add_each<const M: usize>(&self, amounts: [(usize, u64); M]) {
        let row = self.row();
        for (counter, amount) in amounts {
            row[counter].fetch_add(amount, Ordering::Relaxed);
        }
    }

    /// The sum of one counter over all copies.
    pub(super) fn sum(&self, counter: usize) -> u64 {
        self.rows().map(|row| row[counter].load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }

    fn row(&self) -> &[AtomicU64; N] {
        &self.0[copy()].get_or_init(|| Box::new(Row(array::from_fn(|_| AtomicU64::new(0))))).0
    }

    fn rows(&self) -> impl Iterator<Item = &[AtomicU64; N]> {
        self.0.iter().filter_map(|row| row.get()).map(|row| &row.0)
    }
}

/// The copy of this thread.
fn copy() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static COPY: usize = NEXT.fetch_add(1, Ordering::Relaxed) % COPIES;
    }
    COPY.with(|copy| *copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_is_lost_however_many_threads() {
        let cells = Cells::<3>::new();
        std::thread::scope(|scope| {
            for _ in 0..COPIES + 3 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        cells.add(1, 2);
                        cells.add_each([(0, 1), (1, 1)]);
                    }
                });
            }
        });
        let threads = COPIES as u64 + 3;
        assert_eq!([cells.sum(0), cells.sum(1), cells.sum(2)], [threads * 1_000, threads * 3_000, 0]);
    }
}
