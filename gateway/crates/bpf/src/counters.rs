use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, PerCpuArray, PerCpuHashMap},
};
use ebpf_common::{Answers, EVICTED, QuotaKey, Tier, Unread, names};

use crate::{
    Error, Told, events,
    limits::QuotaId,
    pins::Pins,
    row::{CountRow, DeskRow, Quota, RefusedRow},
    rows::pinned,
};

/// What the programs count, for whoever shows it. Handles of their own, to be read from any thread; they stay
/// readable after the kernel half has ended.
#[derive(Clone)]
pub struct Counters(Arc<Maps>);

struct Maps {
    netns: u64,
    /// Open connections that another layout's programs count.
    carried: Mutex<BTreeMap<QuotaId, u64>>,
    counts: Array<MapData, CountRow>,
    slots: HashMap<MapData, u32, Quota>,
    refused: PerCpuHashMap<MapData, Quota, RefusedRow>,
    reasons: PerCpuArray<MapData, u64>,
    /// `None`: no programs of one's own.
    desk: Option<PerCpuArray<MapData, DeskRow>>,
}

/// Connections that were refused for one quota, since its row was made. Rows outlive a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// Whose limit was reached.
    pub quota: QuotaId,
    /// `xdp` or `tc`.
    pub tier: &'static str,
    /// As the metric names it: `over_connection_limit`, `source_denied`, and so on.
    pub reason: &'static str,
    /// How many segments.
    pub total: u64,
}

impl Counters {
    /// Opens the pinned maps, and those of loaded programs, if there are any.
    pub(crate) fn open(pins: &Pins, programs: Option<&Ebpf>, netns: u64) -> Result<Self, Error> {
        Ok(Self(Arc::new(Maps {
            netns,
            carried: Mutex::default(),
            counts: pinned(pins, names::COUNTS)?,
            slots: pinned(pins, names::SLOTS)?,
            refused: pinned(pins, names::REFUSED)?,
            reasons: pinned(pins, names::REASONS)?,
            desk: programs.map(events::desk).transpose()?,
        })))
    }

    /// Refusals of every quota of this network namespace, by tier and reason; none where there were none.
    pub fn refused(&self) -> Vec<Refusals> {
        self.totals(|answers| answers.totals().map(|(reason, total)| (reason.name(), total)).collect())
    }

    /// Those of them whose senders got no answer though they should have had one: there were too many to answer.
    pub fn unanswered(&self) -> Vec<Refusals> {
        self.totals(|answers| vec![("unanswered", answers.unanswered())])
    }

    fn totals(&self, totals_of: impl Fn(&Answers) -> Vec<(&'static str, u64)>) -> Vec<Refusals> {
        let rows = self.0.refused.iter().flatten().filter(|(key, _)| key.0.netns() == self.0.netns);
        rows.flat_map(|(key, processors)| {
            let mut totals = BTreeMap::new();
            for row in processors.iter() {
                for (tier, answers) in Tier::ALL.into_iter().zip(row.0.tiers()) {
                    for (reason, total) in totals_of(&answers) {
                        let sum: &mut u64 = totals.entry((tier.name(), reason)).or_default();
                        *sum = sum.wrapping_add(total);
                    }
                }
            }
            let quota = QuotaId(key.0.id());
            totals.into_iter().map(move |((tier, reason), total)| Refusals { quota, tier, reason, total })
        })
        .filter(|refusals| refusals.total > 0)
        .collect()
    }

    /// Open connections of every quota of this network namespace.
    pub fn open_connections(&self) -> Vec<(QuotaId, u64)> {
        let slots = self.0.slots.iter().flatten().filter(|(_, key)| key.0.netns() == self.0.netns);
        slots.map(|(slot, key)| self.open_with_carried(QuotaId(key.0.id()), slot)).collect()
    }

    /// Open connections of one quota; `None`: nobody counts them.
    pub fn open_of(&self, quota: QuotaId) -> Option<u64> {
        let wanted = QuotaKey::new(self.0.netns, quota.0);
        let (slot, _) = self.0.slots.iter().flatten().find(|(_, key)| key.0 == wanted)?;
        Some(self.open_with_carried(quota, slot).1)
    }

    fn open_with_carried(&self, quota: QuotaId, slot: u32) -> (QuotaId, u64) {
        let open = self.0.counts.get(&slot, 0).map_or(0, |row| row.0.open().max(0).unsigned_abs());
        (quota, open + self.carried(quota))
    }

    /// From now on so many more are open than the maps say.
    pub(crate) fn carry(&self, open: &BTreeMap<QuotaId, u64>) {
        self.0.carried.lock().unwrap_or_else(PoisonError::into_inner).clone_from(open);
    }

    fn carried(&self, quota: QuotaId) -> u64 {
        let carried = self.0.carried.lock().unwrap_or_else(PoisonError::into_inner);
        carried.get(&quota).copied().unwrap_or(0)
    }

    /// True: both read what the same programs count.
    pub fn is_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Refusals by whether they were told of.
    pub fn told(&self) -> Told {
        let desks = self.0.desk.as_ref().and_then(|desk| desk.get(&0, 0).ok());
        let Some(desks) = desks else { return Told::default() };
        let totals = desks.iter().map(|DeskRow(desk)| desk.telling.totals());
        let [told, not_told, lost] =
            totals.fold([0; 3], |[a, b, c], [d, e, f]: [u64; 3]| [a + d, b + e, c + f]);
        Told { told, not_told, lost }
    }

    /// Frames that were let through unjudged, by reason: `fragment`, `malformed`, `too_deep`.
    pub fn unread(&self) -> Vec<(&'static str, u64)> {
        Unread::ALL.iter().map(|unread| (unread.name(), self.reason(unread.index()))).collect()
    }

    /// Connections that ended when the count of their source or network had made room for another one's.
    pub fn evicted(&self) -> u64 {
        self.reason(EVICTED)
    }

    fn reason(&self, index: u32) -> u64 {
        let processors = self.0.reasons.get(&index, 0);
        processors.map_or(0, |processors| processors.iter().copied().fold(0, u64::wrapping_add))
    }
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counters").field("netns", &self.0.netns).finish_non_exhaustive()
    }
}
