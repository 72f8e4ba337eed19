//! Waiting for a condition instead of for time.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Long enough for a loaded machine: reaching it is a failure, not a measurement.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Asks again until there is an answer.
///
/// # Panics
///
/// With `what` when there is none by the deadline.
pub fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
