/// Answers of one processor at a steady pace, with room for bursts (the generic cell rate algorithm, ITU-T I.371).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// When the next answer is due, nanoseconds of the monotonic clock.
    due: u64,
}

const _: () = assert!(size_of::<Pace>() == 8);

/// How far ahead of their pace answers may be, nanoseconds.
const BURST: u64 = 100_000_000;

impl Pace {
    /// True: one more may be given now, and is taken for given. `interval`: nanoseconds from one to the next at a
    /// steady pace; 0: any number.
    #[inline(always)]
    pub fn admits(&mut self, now: u64, interval: u64) -> bool {
        self.admits_ahead(now, interval, BURST)
    }

    /// Likewise, with room for as many at once as come in `burst` nanoseconds.
    #[inline(always)]
    pub(crate) fn admits_ahead(&mut self, now: u64, interval: u64, burst: u64) -> bool {
        let due = if self.due > now { self.due } else { now };
        if due - now > burst {
            return false;
        }
        self.due = due.saturating_add(interval);
        true
    }
}
