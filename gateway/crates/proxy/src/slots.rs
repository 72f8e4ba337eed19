mod bucket;
mod counted;
mod foreign;
mod gate;
mod kept;
mod networks;
mod tracked;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::refusal::Refusal;
pub use counted::{Count, Counted, Keeper};
pub use foreign::Foreign;
pub(crate) use gate::{Gate, GateState, Passes, Stage};
pub(crate) use kept::{Kept, Way};
pub(crate) use tracked::Tracked;

/// May this connection be served, and when is its slot free? One per listener, carried over reloads.
///
/// An implementation gets addresses and the limit in force, never a socket: the kernel half may stand behind
/// the same seam, but the count taken here is authoritative in every tier.
pub(crate) trait Slots: Send + Sync {
    /// Takes a slot, unless as many as `limit` are taken. `None`: no limit, only counted.
    fn take(&self, limit: Option<u64>, peer: SocketAddr, local: SocketAddr) -> Result<(), Refusal>;

    /// Gives a slot back, after the descriptor is closed.
    fn free(&self);

    /// Slots taken at this instant.
    fn open(&self) -> u64;

    /// Takes so many slots whatever the limit, for connections that another process serves.
    fn hold(&self, count: u64);

    /// From this call on a successor counts: taking asks it and freeing tells it. What it is to begin with.
    fn hand_over(&self) -> u64;

    /// Undoes [`Slots::hand_over`]. Nothing is lost: what was taken meanwhile was counted here too.
    fn take_back(&self);
}

/// Set in a count or a bucket that a successor keeps, where no number ever reaches.
const MOVED: u64 = 1 << 63;

/// A count shared by all workers. Lowering the limit below the count closes nothing and refuses until the
/// count has fallen.
#[derive(Debug)]
pub(crate) struct UserSlots {
    /// [`MOVED`] says in the same word whether a successor counts, so that each change is either in what it was told
    /// to begin with or told to it.
    open: AtomicU64,
    refusal: Refusal,
    kept: Kept,
}

impl UserSlots {
    /// A count at zero that refuses with this reason.
    pub(crate) fn new(refusal: Refusal, kept: Kept) -> Self {
        Self { open: AtomicU64::new(0), refusal, kept }
    }

    fn take_if(&self, may: impl Fn(u64) -> bool) -> Result<(), u64> {
        let next = |open| may(open).then_some(open + 1);
        self.open.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next).map(|_| ())
    }

    /// The successor decides; where there is none any more, the count here does.
    fn take_elsewhere(&self, limit: Option<u64>) -> Result<(), u64> {
        match self.kept.take(limit) {
            Some(true) => self.take_if(|_| true),
            Some(false) => Err(MOVED),
            None => self.take_if(|open| (open & !MOVED) < limit.unwrap_or(MOVED)),
        }
    }
}

impl Slots for UserSlots {
    fn take(&self, limit: Option<u64>, _peer: SocketAddr, _local: SocketAddr) -> Result<(), Refusal> {
        let most = limit.unwrap_or(MOVED).min(MOVED);
        let taken = match self.take_if(|open| open < most) {
            Err(open) if open & MOVED != 0 => self.take_elsewhere(limit),
            taken => taken,
        };
        taken.map_err(|_| self.refusal)
    }

    fn free(&self) {
        if self.open.fetch_sub(1, Ordering::AcqRel) & MOVED != 0 {
            self.kept.free();
        }
    }

    fn open(&self) -> u64 {
        self.open.load(Ordering::Acquire) & !MOVED
    }

    fn hold(&self, count: u64) {
        self.open.fetch_add(count, Ordering::AcqRel);
    }

    fn hand_over(&self) -> u64 {
        self.open.fetch_or(MOVED, Ordering::AcqRel) & !MOVED
    }

    fn take_back(&self) {
        self.open.fetch_and(!MOVED, Ordering::AcqRel);
    }
}

/// A slot that is held; dropping it frees it. It lives in the socket, behind the descriptor, so that the
/// descriptor is closed first.
pub(crate) struct Slot {
    slots: Arc<dyn Slots>,
}

impl Slot {
    /// Takes a slot or says why there is none.
    pub(crate) fn take(
        slots: &Arc<dyn Slots>,
        limit: Option<u64>,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<Self, Refusal> {
        slots.take(limit, peer, local)?;
        Ok(Self { slots: Arc::clone(slots) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.free();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn never_more_than_the_limit_over_all_threads() {
        let slots = Arc::new(UserSlots::new(Refusal::OverConnectionLimit, Kept::here()));
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let highest = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let slots: Arc<dyn Slots> = slots.clone();
                    for _ in 0..10_000 {
                        if let Ok(slot) = Slot::take(&slots, Some(3), address, address) {
                            highest.fetch_max(slots.open(), Ordering::SeqCst);
                            drop(slot);
                        }
                    }
                });
            }
        });
        assert!((1..=3).contains(&highest.into_inner()));
        assert_eq!(slots.open(), 0);
    }

    #[test]
    fn a_limit_below_the_count_refuses_until_it_has_fallen() {
        let slots: Arc<dyn Slots> = Arc::new(UserSlots::new(Refusal::OverConnectionLimit, Kept::here()));
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let take = |limit| Slot::take(&slots, limit, address, address).ok();
        let first = take(None).unwrap();
        let second = take(Some(2)).unwrap();
        assert!(take(Some(1)).is_none());
        drop(second);
        assert!(take(Some(1)).is_none());
        drop(first);
        assert!(take(Some(1)).is_some());
    }

    /// A successor: what it counts is below zero for as long as it was not told what there was to begin with.
    #[derive(Default)]
    struct Successor(Mutex<i64>);

    impl Keeper for Successor {
        fn take(&self, _counted: &Counted, limit: Option<u64>) -> Option<bool> {
            let mut open = self.0.lock().unwrap();
            let room = limit.is_none_or(|limit| *open < limit.cast_signed());
            *open += i64::from(room);
            Some(room)
        }

        fn free(&self, _counted: &Counted) {
            *self.0.lock().unwrap() -= 1;
        }

        fn spend(&self, _counted: &Counted, _rate: ir::ConnectionRate) -> Option<bool> {
            None
        }
    }

    #[test]
    fn a_count_is_handed_over_at_one_instant_whatever_happens_meanwhile() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        for round in 0..200 {
            let way = Way::default();
            let slots: Arc<dyn Slots> =
                Arc::new(UserSlots::new(Refusal::OverGlobalLimit, Kept::new(Counted::Connections, &way)));
            let successor = Arc::new(Successor::default());
            let (most, here) = (AtomicU64::new(0), AtomicU64::new(0));
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        for _ in 0..200 {
                            let Ok(slot) = Slot::take(&slots, Some(2), address, address) else { continue };
                            most.fetch_max(here.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            here.fetch_sub(1, Ordering::SeqCst);
                            drop(slot);
                        }
                    });
                }
                // While this is held nobody is answered, as before the books are open.
                let mut open = successor.0.lock().unwrap();
                way.lead_to(Some(Arc::clone(&successor) as Arc<dyn Keeper>));
                *open += slots.hand_over().cast_signed();
            });
            assert_eq!((slots.open(), *successor.0.lock().unwrap()), (0, 0), "round {round}");
            assert!(most.into_inner() <= 2);
            slots.take_back();
            way.lead_to(None);
            assert!(Slot::take(&slots, Some(1), address, address).is_ok());
            assert_eq!(*successor.0.lock().unwrap(), 0, "it is told nothing any more");
        }
    }

    #[test]
    fn without_an_answer_of_the_successor_the_count_here_decides() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let way = Way::default();
        let kept = Kept::new(Counted::Connections, &way);
        let slots: Arc<dyn Slots> = Arc::new(UserSlots::new(Refusal::OverGlobalLimit, kept));
        let held = Slot::take(&slots, Some(2), address, address).unwrap();
        assert_eq!(slots.hand_over(), 1);
        let second = Slot::take(&slots, Some(2), address, address).unwrap();
        assert!(Slot::take(&slots, Some(2), address, address).is_err());
        assert!(Slot::take(&slots, None, address, address).is_ok());
        drop((held, second));
        assert_eq!(slots.open(), 0);
    }
}
