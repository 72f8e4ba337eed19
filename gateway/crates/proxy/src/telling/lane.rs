use std::sync::atomic::{AtomicU64, Ordering};

use ir::{ConnectionRate, RateUnit};

use crate::slots::{Pace, SharedBucket};

/// Lines in a second, and how many at once after a pause: of one lane, over all workers.
const LINES: ConnectionRate = ConnectionRate { connections: 100, unit: RateUnit::Second, burst: 1_000 };

/// Lines of one sort at a pace that no flood quickens. What has no line is counted, and told with the next that has.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    bucket: SharedBucket,
    untold: AtomicU64,
}

impl Lane {
    /// A line may be written now, and is taken for written; how many were not since the last one. `None`: not now.
    pub(crate) fn tell(&self, now: u64) -> Option<u64> {
        self.tell_of(0, now)
    }

    /// As [`Lane::tell`], for one that stands for `more` beside itself.
    pub(crate) fn tell_of(&self, more: u64, now: u64) -> Option<u64> {
        if self.bucket.take_here(Pace::new(LINES), now) {
            return Some(self.untold.swap(0, Ordering::Relaxed).saturating_add(more));
        }
        self.untold.fetch_add(more.saturating_add(1), Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_told_or_counted_with_the_next_line() {
        let lane = Lane::default();
        let (mut lines, mut counted) = (0_u64, 0);
        // 5,000 at once, then 2 s at twice the pace of lines.
        let times = std::iter::repeat_n(0, 5_000).chain((1..=400).map(|n| n * 5_000_000));
        for now in times {
            if let Some(untold) = lane.tell(now) {
                lines += 1;
                counted += untold;
            }
        }
        assert_eq!((lines, lines + counted + lane.untold.into_inner()), (1_200, 5_400));
    }

    #[test]
    fn one_that_stands_for_more_counts_as_all_of_them() {
        let lane = Lane::default();
        assert_eq!(lane.tell_of(7, 0), Some(7));
        (1..1_000).for_each(|_| assert_eq!(lane.tell(0), Some(0)));
        assert_eq!(lane.tell_of(4, 0), None);
        assert_eq!(lane.tell_of(1, 10_000_000), Some(6));
    }
}
