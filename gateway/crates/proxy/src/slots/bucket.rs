use std::sync::atomic::{AtomicU64, Ordering};

use ir::ConnectionRate;

use super::MOVED;

/// A token bucket's settings, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Time for one token.
    interval: u64,
    /// Time for all tokens that the bucket holds.
    capacity: u64,
}

impl Pace {
    /// Of a rate.
    pub(super) fn new(rate: ConnectionRate) -> Self {
        let interval = rate.interval();
        Self { interval, capacity: interval.saturating_mul(u64::from(rate.burst.max(1))) }
    }
}

/// A token bucket in one number: when it will be full again, in nanoseconds since whatever `now` counts from. 0 is a
/// full bucket. Other settings than before never find it emptier than empty, so nobody waits longer than for one
/// token. Source: the virtual scheduling form of GCRA (ITU-T I.371).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket(u64);

impl Bucket {
    /// Takes a token. False: there is none, and nothing has changed.
    pub(super) fn take(&mut self, pace: Pace, now: u64) -> bool {
        let next = after(self.0, pace, now);
        self.0 = next.unwrap_or(self.0);
        next.is_some()
    }

    /// True: to know it is to know nothing.
    pub(super) fn is_full(self, now: u64) -> bool {
        self.0 <= now
    }

    /// Time until it is full.
    pub(super) fn full_in(self, now: u64) -> u64 {
        self.0.saturating_sub(now)
    }

    /// Not full before that time is over.
    pub(super) fn drain_to(&mut self, full_in: u64, now: u64) {
        self.0 = self.0.max(now.saturating_add(full_in));
    }
}

/// A token bucket that threads share.
#[derive(Debug, Default)]
pub(super) struct SharedBucket(AtomicU64);

/// A successor keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved;

impl SharedBucket {
    /// As [`Bucket::take`].
    pub(super) fn take(&self, pace: Pace, now: u64) -> Result<bool, Moved> {
        let take = |full_at| if full_at & MOVED == 0 { after(full_at, pace, now) } else { None };
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Err(full_at) if full_at & MOVED != 0 => Err(Moved),
            taken => Ok(taken.is_ok()),
        }
    }

    /// The same, whoever keeps it.
    pub(super) fn take_here(&self, pace: Pace, now: u64) -> bool {
        let take = |full_at| Some(after(full_at & !MOVED, pace, now)? | (full_at & MOVED));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// From now on a successor keeps it. How long until it is full.
    pub(super) fn hand_over(&self, now: u64) -> u64 {
        (self.0.fetch_or(MOVED, Ordering::Relaxed) & !MOVED).saturating_sub(now)
    }

    /// Undoes [`SharedBucket::hand_over`].
    pub(super) fn take_back(&self) {
        self.0.fetch_and(!MOVED, Ordering::Relaxed);
    }

    /// As [`Bucket::drain_to`].
    pub(super) fn drain_to(&self, full_in: u64, now: u64) {
        self.0.fetch_max(now.saturating_add(full_in), Ordering::Relaxed);
    }
}

/// When the bucket is full again once a token more is taken.
fn after(full_at: u64, pace: Pace, now: u64) -> Option<u64> {
    let empty = now.saturating_add(pace.capacity);
    let next = full_at.clamp(now, empty).saturating_add(pace.interval);
    (next <= empty).then_some(next)
}

#[cfg(test)]
mod tests {
    use ir::RateUnit;
    use proptest::prelude::*;

    use super::*;

    fn pace(connections: u32, unit: RateUnit, burst: u32) -> Pace {
        Pace::new(ConnectionRate { connections, unit, burst })
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_then_one_per_interval() {
        let (mut bucket, pace) = (Bucket::default(), pace(2, RateUnit::Second, 3));
        let mut take = |now| bucket.take(pace, now);
        assert_eq!([0, 0, 0, 0].map(&mut take), [true, true, true, false]);
        assert_eq!([SECOND / 2 - 1, SECOND / 2, SECOND / 2].map(&mut take), [false, true, false]);
        // A long pause fills it, and no more than that.
        assert_eq!([99 * SECOND; 4].map(&mut take), [true, true, true, false]);
    }

    #[test]
    fn other_settings_make_nobody_wait_longer_than_for_one_token() {
        let mut bucket = Bucket::default();
        let slow = pace(1, RateUnit::Hour, 100);
        assert!((0..100).all(|_| bucket.take(slow, 0)));
        let quick = pace(10, RateUnit::Second, 1);
        assert!(!bucket.take(quick, 1), "it is empty under the new settings too");
        let mut refilled = bucket;
        assert!(refilled.take(quick, 1 + SECOND / 10) || !refilled.is_full(SECOND));
    }

    #[test]
    fn threads_take_no_more_than_there_is() {
        let (bucket, pace) = (SharedBucket::default(), pace(1, RateUnit::Hour, 1_000));
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mine = (0..1_000).filter(|_| bucket.take(pace, 5) == Ok(true)).count();
                    taken.fetch_add(mine as u64, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(taken.into_inner(), 1_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Held against counting tokens one by one.
        #[test]
        fn in_any_span_no_more_than_burst_and_rate_are_taken(
            connections in 1..50_u32,
            burst in 1..20_u32,
            pauses in prop::collection::vec(0..SECOND, 1..200),
        ) {
            let pace = pace(connections, RateUnit::Second, burst);
            let (mut bucket, mut now, mut taken) = (Bucket::default(), 0, Vec::new());
            for pause in pauses {
                now += pause;
                // What was taken before still counts for what can be taken now.
                let allowed = taken.iter().enumerate().all(|(place, earlier)| {
                    let since = taken.len() - place + 1;
                    let span = now - earlier;
                    since as u64 <= u64::from(burst) + span / pace.interval
                });
                let took = bucket.take(pace, now);
                prop_assert!(allowed || !took, "too many at {now}: {taken:?}");
                if took {
                    taken.push(now);
                }
            }
            prop_assert!(!taken.is_empty(), "a full bucket gives");
        }
    }
}
