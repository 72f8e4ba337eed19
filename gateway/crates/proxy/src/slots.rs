mod bucket;
mod gate;
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
pub(crate) use bucket::{Pace, SharedBucket};
pub use gate::Check as PolicyCheck;
pub(crate) use gate::{Gate, GateState, Passes, Stage};
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

    /// True: [`Slots::take`] would take one now.
    fn has_room(&self, limit: Option<u64>) -> bool {
        limit.is_none_or(|limit| self.open() < limit)
    }
}

/// A count shared by all workers. Lowering the limit below the count closes nothing and refuses until the
/// count has fallen.
#[derive(Debug)]
pub(crate) struct UserSlots {
    open: AtomicU64,
    refusal: Refusal,
}

impl UserSlots {
    /// A count at zero that refuses with this reason.
    pub(crate) const fn new(refusal: Refusal) -> Self {
        Self { open: AtomicU64::new(0), refusal }
    }
}

impl Slots for UserSlots {
    fn take(&self, limit: Option<u64>, _peer: SocketAddr, _local: SocketAddr) -> Result<(), Refusal> {
        let limit = limit.unwrap_or(u64::MAX);
        self.open
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |open| (open < limit).then_some(open + 1))
            .map(|_| ())
            .map_err(|_| self.refusal)
    }

    fn free(&self) {
        self.open.fetch_sub(1, Ordering::AcqRel);
    }

    fn open(&self) -> u64 {
        self.open.load(Ordering::Acquire)
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
    use super::*;

    #[test]
    fn never_more_than_the_limit_over_all_threads() {
        let slots = Arc::new(UserSlots::new(Refusal::OverConnectionLimit));
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
        let slots: Arc<dyn Slots> = Arc::new(UserSlots::new(Refusal::OverConnectionLimit));
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
}
