use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::http::h1::Pace;

/// A client that takes longer than this for what it is given is slow.
const SLOW: Duration = Duration::from_secs(1);

/// What a slow client is given at a time.
const SMALL: usize = 1 << 10;

/// What is taken slower than this, over more than [`PATIENT`], is no progress. Less is for [`Pace`] to tell.
const BYTES_PER_SECOND: u64 = 500;
const PATIENT: Duration = Duration::from_secs(10);

/// Hands a body out so that it can be told how fast it is taken: hyper asks for more once the client has room for it,
/// and says nothing in between. Who is slow is given little at a time, and more again as it turns quick.
pub(super) struct Helpings {
    pace: Pace,
    /// Bytes that were given last, and when.
    given: usize,
    since: Instant,
    size: usize,
    /// The client has taken all that there was.
    caught_up: bool,
    /// What was cut off.
    rest: Bytes,
}

/// What the client has taken when hyper asks for more.
#[derive(Clone, Copy)]
pub(super) struct Taken {
    bytes: usize,
    took: Duration,
    now: Instant,
}

impl Helpings {
    /// Nothing given yet.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            pace: Pace::new(now),
            given: 0,
            since: now,
            size: usize::MAX,
            caught_up: false,
            rest: Bytes::new(),
        }
    }

    /// hyper asks: what was given before is taken.
    pub(super) fn asked(&mut self) -> Option<Taken> {
        let bytes = std::mem::take(&mut self.given);
        if bytes == 0 {
            return None;
        }
        let now = Instant::now();
        let took = now.duration_since(self.since);
        self.since = now;
        self.size = if took > SLOW { SMALL } else { self.size.saturating_mul(2) };
        Some(Taken { bytes, took, now })
    }

    /// What was cut off before, and goes first.
    pub(super) fn rest(&mut self) -> Option<Bytes> {
        (!self.rest.is_empty()).then(|| std::mem::take(&mut self.rest))
    }

    /// What of a piece is given now.
    pub(super) fn give(&mut self, mut piece: Bytes) -> Bytes {
        if piece.len() > self.size {
            self.rest = piece.split_off(self.size);
        }
        self.given = piece.len();
        piece
    }

    /// True if all of what there was is given.
    pub(super) const fn is_all_given(&self) -> bool {
        self.rest.is_empty()
    }

    /// hyper is answered. Gives the time of it if something has moved.
    pub(super) fn answered(&mut self, taken: Option<Taken>, is_pending: bool) -> Option<Instant> {
        let was_caught_up = std::mem::replace(&mut self.caught_up, is_pending);
        match taken {
            Some(Taken { bytes, took, now }) => {
                let is_trickle = took > PATIENT && (bytes as u64) < BYTES_PER_SECOND * took.as_secs();
                (self.pace.took(bytes, is_pending, now) && (is_pending || !is_trickle)).then_some(now)
            }
            None if was_caught_up && !is_pending => {
                // From now on it is the client that is waited for.
                let now = Instant::now();
                (self.pace, self.since) = (Pace::new(now), now);
                Some(now)
            }
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// A body without an end, in pieces of 32 KiB.
    struct Endless(Helpings, usize);

    impl Endless {
        /// The client takes what it was given `after` so long. Gives the bytes that it is given next, and whether
        /// something has moved.
        async fn take(&mut self, after: Duration) -> (usize, bool) {
            advance(after).await;
            let taken = self.0.asked();
            let piece = self.0.rest().unwrap_or_else(|| Bytes::from(vec![0; self.1]));
            let given = self.0.give(piece).len();
            (given, self.0.answered(taken, false).is_some())
        }
    }

    const MILLISECOND: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_quick_client_is_given_all_there_is() {
        let mut body = Endless(Helpings::new(Instant::now()), 32 << 10);
        for round in 0..100 {
            assert_eq!(body.take(MILLISECOND).await, (32 << 10, round > 0));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_told_from_progress_whatever_it_was_given() {
        // 32 KiB in 100 s are 327 B/s, 1 KiB in 3 s is not much more.
        let mut body = Endless(Helpings::new(Instant::now()), 32 << 10);
        body.take(MILLISECOND).await;
        assert_eq!(body.take(SECOND * 100).await, (SMALL, false));
        for _ in 0..50 {
            assert_eq!(body.take(SECOND * 3).await, (SMALL, false));
        }
        // 682 B/s are enough, every now and then.
        let mut moved = 0;
        for _ in 0..50 {
            let (given, has_moved) = body.take(SECOND * 3 / 2).await;
            assert_eq!(given, SMALL);
            moved += u32::from(has_moved);
        }
        assert_eq!(moved, 10);
        // Who turns quick is given more and more.
        let given: Vec<usize> =
            [body.take(MILLISECOND).await, body.take(MILLISECOND).await, body.take(MILLISECOND).await]
                .map(|(given, _)| given)
                .into();
        assert_eq!(given, [SMALL * 2, SMALL * 4, SMALL * 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_backend_is_not_slow() {
        let mut helpings = Helpings::new(Instant::now());
        for _ in 0..10 {
            let taken = helpings.asked();
            assert_eq!(helpings.answered(taken, true).is_some(), taken.is_some());
            advance(SECOND * 60).await;
            assert!(helpings.asked().is_none());
            assert_eq!(helpings.give(Bytes::from(vec![0; 5_000])).len(), 5_000);
            assert_eq!(helpings.answered(None, false), Some(Instant::now()));
            assert!(helpings.is_all_given());
        }
    }
}
