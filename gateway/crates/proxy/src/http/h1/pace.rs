use std::time::Duration;

use tokio::time::Instant;

/// Fewer bytes than this in [`WINDOW`] are no progress: a client that reads 500 B/s or less holds up a backend's
/// response for nothing.
const BYTES: usize = 5_000;

/// What bytes are counted over.
const WINDOW: Duration = Duration::from_secs(10);

/// Tells bytes that trickle to a client from progress, while more of them wait than the client takes.
pub(crate) struct Pace {
    since: Instant,
    bytes: usize,
}

impl Pace {
    /// Starts counting.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { since: now, bytes: 0 }
    }

    /// True if the bytes that the client has taken count as progress. `caught_up`: it has taken all there was.
    pub(crate) fn took(&mut self, bytes: usize, caught_up: bool, now: Instant) -> bool {
        if caught_up {
            *self = Self::new(now);
            return bytes > 0;
        }
        if now.duration_since(self.since) >= WINDOW {
            *self = Self::new(now);
        }
        self.bytes += bytes;
        let enough = self.bytes >= BYTES;
        if enough {
            *self = Self::new(now);
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_no_progress_unless_there_is_no_more_to_take() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pace = Pace::new(start);
        for second in 0..60 {
            assert!(!pace.took(499, false, at(second)), "{second}");
        }
        let mut pace = Pace::new(start);
        let counted = (0..60).filter(|second| pace.took(600, false, at(*second))).count();
        assert_eq!(counted, 6, "every nine seconds");
        assert!(pace.took(1, true, at(60)));
        assert!(!pace.took(0, true, at(60)));
    }
}
