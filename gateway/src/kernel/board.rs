use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bpf::{Counters, QuotaId, Refusals};
use ir::ListenerId;
use prometheus::Registry;
use proxy::metrics::{KernelMetrics, KernelReading};

/// What the kernel half shows: written by the reload loop, read with the metrics.
#[derive(Clone, Debug)]
pub(super) struct Board(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    counters: Option<Counters>,
    line: String,
    tiers: Vec<(String, &'static str)>,
    degraded: Vec<(String, &'static str)>,
    listeners: BTreeMap<QuotaId, ListenerId>,
    tally: Tally,
    unanswered: Tally,
}

/// Refusals by listener: the rows in the kernel come and go with addresses and restarts of the kernel half, a
/// metric only rises.
#[derive(Debug, Default)]
struct Tally {
    seen: BTreeMap<(QuotaId, &'static str, &'static str), u64>,
    totals: BTreeMap<(ListenerId, &'static str, &'static str), u64>,
}

impl Board {
    /// Registers the metrics.
    pub(super) fn register(registry: &Registry) -> Self {
        let board = Self(Arc::default());
        let read = board.clone();
        KernelMetrics::register(registry, move || read.shown().reading());
        board
    }

    /// Which listener each quota is shown under from now on.
    pub(super) fn name(&self, listeners: BTreeMap<QuotaId, ListenerId>) {
        let mut shown = self.shown();
        shown.settle();
        let is_known = |listener: &ListenerId| listeners.values().any(|known| known == listener);
        shown.tally.totals.retain(|(listener, ..), _| is_known(listener));
        shown.unanswered.totals.retain(|(listener, ..), _| is_known(listener));
        shown.listeners = listeners;
    }

    /// What is at work from now on. True: that is something else than before.
    pub(super) fn show(
        &self,
        counters: Option<Counters>,
        tiers: Vec<(String, &'static str)>,
        degraded: Vec<(String, &'static str)>,
        line: &str,
    ) -> bool {
        let mut shown = self.shown();
        shown.settle();
        shown.counters = counters;
        shown.tiers = tiers;
        shown.degraded = degraded;
        let changed = shown.line != line;
        line.clone_into(&mut shown.line);
        changed
    }

    /// Takes over what was counted so far, before rows are removed.
    pub(super) fn settle(&self) {
        self.shown().settle();
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    fn settle(&mut self) {
        let Some(counters) = &self.counters else { return };
        self.tally.add(&counters.refused(), &self.listeners);
        self.unanswered.add(&counters.unanswered(), &self.listeners);
    }

    fn reading(&mut self) -> KernelReading {
        self.settle();
        let refused = self.tally.totals.iter();
        let refused =
            refused.map(|((listener, tier, reason), total)| (listener.clone(), *tier, *reason, *total));
        let unanswered = self.unanswered.totals.iter();
        let unanswered = unanswered.map(|((listener, tier, _), total)| (listener.clone(), *tier, *total));
        let open = self.counters.as_ref().map(Counters::open_connections).unwrap_or_default();
        let open =
            open.into_iter().filter_map(|(quota, open)| Some((self.listeners.get(&quota)?.clone(), open)));
        KernelReading {
            refused: refused.collect(),
            unanswered: unanswered.collect(),
            sources_evicted: self.counters.as_ref().map(Counters::evicted).unwrap_or_default(),
            open: open.collect(),
            unread: self.counters.as_ref().map(Counters::unread).unwrap_or_default(),
            tiers: self.tiers.clone(),
            degraded: self.degraded.clone(),
        }
    }
}

impl Tally {
    fn add(&mut self, refused: &[Refusals], listeners: &BTreeMap<QuotaId, ListenerId>) {
        for Refusals { quota, tier, reason, total } in refused {
            let Some(listener) = listeners.get(quota) else { continue };
            let seen = self.seen.insert((*quota, tier, reason), *total).unwrap_or(0);
            // Fewer than before: a new row.
            let more = if *total >= seen { total - seen } else { *total };
            *self.totals.entry((listener.clone(), tier, reason)).or_default() += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_rise_over_rows_that_come_and_go() {
        let quota = QuotaId::of("default/eg:80/TCP");
        let listener = ListenerId("default/eg/web".into());
        let listeners = BTreeMap::from([(quota, listener.clone())]);
        let mut tally = Tally::default();
        let mut add = |total: u64| {
            tally.add(&[Refusals { quota, tier: "xdp", reason: "r", total }], &listeners);
            tally.totals[&(listener.clone(), "xdp", "r")]
        };
        assert_eq!([add(3), add(3), add(5), add(1), add(2)], [3, 3, 5, 6, 7]);
        tally.add(&[Refusals { quota: QuotaId::of("gone"), tier: "xdp", reason: "r", total: 9 }], &listeners);
        assert_eq!(tally.totals.len(), 1, "what has no name is not shown");
    }
}
