use std::collections::BTreeMap;

use aya::maps::{Array, HashMap, MapData};
use ebpf_common::{Count, QuotaKey, names};
use nix::libc;

use crate::{
    Error,
    error::code,
    pins::Pins,
    row::{CountRow, Quota},
    rows::{BPF_NOEXIST, failed, gone, list, pinned},
};

/// The counts of quotas, each in a row that is its own: programs find it by its number. Those of a network namespace that
/// an earlier process worked in are there too, as long as connections are open.
pub(crate) struct Slots {
    netns: u64,
    /// Where the next free row may be.
    next: u32,
    /// Rows by what they count.
    by_quota: BTreeMap<QuotaKey, u32>,
    taken: HashMap<MapData, u32, Quota>,
    counts: Array<MapData, CountRow>,
}

impl Slots {
    /// Opens the pinned maps, and finds what an earlier process has left.
    pub(crate) fn open(pins: &Pins, netns: u64) -> Result<Self, Error> {
        let taken: HashMap<MapData, u32, Quota> = pinned(pins, names::SLOTS)?;
        let counts = pinned(pins, names::COUNTS)?;
        let mut slots = Self { netns, next: 0, by_quota: BTreeMap::new(), taken, counts };
        for slot in list(slots.taken.keys(), names::SLOTS)? {
            if let Ok(Quota(quota)) = slots.taken.get(&slot, 0) {
                slots.by_quota.insert(quota, slot);
            }
        }
        Ok(slots)
    }

    /// The row of a quota; `None`: nobody counts it.
    pub(crate) fn of(&self, id: u64) -> Option<u32> {
        self.by_quota.get(&QuotaKey::new(self.netns, id)).copied()
    }

    /// Gives a quota a row, if it has none. `epoch`: tells the row from what it was before. Fails where every row is
    /// another quota's.
    pub(crate) fn take(&mut self, id: u64, epoch: u64) -> Result<(), Error> {
        if self.of(id).is_some() {
            return Ok(());
        }
        let quota = QuotaKey::new(self.netns, id);
        let (mut slot, mut left) = (self.next, self.counts.len());
        // Another process may take one at the same time: whoever writes first has it.
        while let Err(error) = self.taken.insert(slot, Quota(quota), BPF_NOEXIST) {
            left -= 1;
            if code(&error) != Some(libc::EEXIST) || left == 0 {
                return Err(failed("add to", names::SLOTS)(error));
            }
            slot = (slot + 1) % self.counts.len();
        }
        self.next = (slot + 1) % self.counts.len();
        let begun = CountRow(Count::new(epoch));
        self.counts.set(slot, begun, 0).map_err(failed("write", names::COUNTS))?;
        self.by_quota.insert(quota, slot);
        Ok(())
    }

    /// Open connections in a row.
    pub(crate) fn count(&self, slot: u32) -> i64 {
        self.counts.get(&slot, 0).map_or(0, |row| row.0.open())
    }

    /// Every quota that has a row, also those of other network namespaces.
    pub(crate) fn all(&self) -> impl Iterator<Item = (QuotaKey, u32)> {
        self.by_quota.iter().map(|(quota, slot)| (*quota, *slot))
    }

    /// Gives a quota's row back. The end of a connection that is counted there does nothing once it is another's.
    pub(crate) fn release(&mut self, quota: QuotaKey) -> Result<(), Error> {
        let Some(slot) = self.by_quota.remove(&quota) else { return Ok(()) };
        gone(self.taken.remove(&slot)).map_err(failed("remove from", names::SLOTS))
    }
}
