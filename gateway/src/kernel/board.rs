use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bpf::{Counters, QuotaId, Refusals, Told};
use ir::{AccessLogFormat, ListenerId, PolicyName};
use prometheus::Registry;
use proxy::metrics::{KernelMetrics, KernelReading, KernelRefusals};

use super::limits::Shown as Names;

/// What the kernel half shows: written by the reload loop, read with the metrics.
#[derive(Clone, Debug)]
pub(super) struct Board(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    counters: Option<Counters>,
    line: String,
    tiers: Vec<(String, &'static str)>,
    names: BTreeMap<QuotaId, Names>,
    degraded: Vec<(String, &'static str)>,
    tally: Tally,
    unanswered: Tally,
    /// How lines of the access log look; `None`: there is none.
    log: Option<AccessLogFormat>,
    lines: Lines,
}

/// What the access log says of refusals: those of all programs so far, that are started anew now and then.
#[derive(Debug, Default)]
struct Lines {
    /// Events with a line.
    told: u64,
    /// Events without.
    untold: u64,
    /// Counted by the programs at work, when they were last looked at.
    seen: Told,
    /// By all of them: not told of, and lost.
    not_told: u64,
    lost: u64,
}

/// Refusals by listener: the rows in the kernel come and go with addresses and restarts of the kernel half, a
/// metric only rises.
#[derive(Debug, Default)]
struct Tally {
    seen: BTreeMap<(QuotaId, &'static str, &'static str), u64>,
    totals: BTreeMap<(ListenerId, &'static str, &'static str, Option<PolicyName>), u64>,
}

impl Board {
    /// Registers the metrics.
    pub(super) fn register(registry: &Registry) -> Self {
        let board = Self(Arc::default());
        let read = board.clone();
        KernelMetrics::register(registry, move || read.shown().reading());
        board
    }

    /// What each quota is shown under from now on, and how lines of the access log look, if there is one.
    pub(super) fn name(&self, names: BTreeMap<QuotaId, Names>, log: Option<AccessLogFormat>) {
        let mut shown = self.shown();
        shown.settle();
        let is_known = |listener: &ListenerId| names.values().any(|known| known.listener == *listener);
        shown.unanswered.totals.retain(|(listener, ..), _| is_known(listener));
        shown.tally.totals.retain(|(listener, _, reason, policy), _| {
            let is_known =
                |known: &Names| known.listener == *listener && known.policy(reason) == policy.as_ref();
            names.values().any(is_known)
        });
        (shown.names, shown.log) = (names, log);
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
        let is_same = |a: &Counters| counters.as_ref().is_some_and(|b| a.is_of(b));
        if !shown.counters.as_ref().is_some_and(is_same) {
            shown.lines.seen = Told::default();
        }
        shown.counters = counters;
        shown.tiers = tiers;
        shown.degraded = degraded;
        let changed = shown.line != line;
        line.clone_into(&mut shown.line);
        changed
    }

    /// What a quota is shown under, and how lines of the access log look.
    pub(super) fn names(&self, quota: QuotaId) -> Option<(Names, Option<AccessLogFormat>)> {
        let shown = self.shown();
        Some((shown.names.get(&quota)?.clone(), shown.log))
    }

    /// What enforces limits on each interface.
    pub(super) fn tiers(&self) -> Vec<(String, &'static str)> {
        self.shown().tiers.clone()
    }

    /// Connections of a quota that the kernel counts at this moment; `None`: it does not.
    pub(super) fn open(&self, quota: QuotaId) -> Option<u64> {
        self.shown().counters.as_ref()?.open_of(quota)
    }

    /// Counts an event by whether it has its line.
    pub(super) fn told(&self, told: bool) {
        let lines = &mut self.shown().lines;
        let count = if told { &mut lines.told } else { &mut lines.untold };
        *count += 1;
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
        self.tally.add(&counters.refused(), &self.names);
        self.unanswered.add(&counters.unanswered(), &self.names);
        self.lines.add(counters.told());
    }

    fn reading(&mut self) -> KernelReading {
        self.settle();
        let refused = self.tally.totals.iter();
        let refused = refused.map(|((listener, tier, reason, policy), total)| KernelRefusals {
            listener: listener.clone(),
            tier,
            reason,
            policy: policy.clone(),
            total: *total,
        });
        let unanswered = self.unanswered.totals.iter();
        let unanswered = unanswered.map(|((listener, tier, ..), total)| (listener.clone(), *tier, *total));
        let open = self.counters.as_ref().map(Counters::open_connections).unwrap_or_default();
        let open = open
            .into_iter()
            .filter_map(|(quota, open)| Some((self.names.get(&quota)?.listener.clone(), open)));
        KernelReading {
            refused: refused.collect(),
            told: self.lines.outcomes(),
            unanswered: unanswered.collect(),
            sources_evicted: self.counters.as_ref().map(Counters::evicted).unwrap_or_default(),
            open: open.collect(),
            unread: self.counters.as_ref().map(Counters::unread).unwrap_or_default(),
            tiers: self.tiers.clone(),
            degraded: self.degraded.clone(),
        }
    }
}

impl Lines {
    fn add(&mut self, now: Told) {
        let before = std::mem::replace(&mut self.seen, now);
        self.not_told += now.not_told.saturating_sub(before.not_told);
        self.lost += now.lost.saturating_sub(before.lost);
    }

    fn outcomes(&self) -> Vec<(&'static str, u64)> {
        let Self { told, untold, seen: _, not_told, lost } = self;
        vec![("told", *told), ("not_told", not_told + untold), ("lost", *lost)]
    }
}

impl Tally {
    fn add(&mut self, refused: &[Refusals], names: &BTreeMap<QuotaId, Names>) {
        for Refusals { quota, tier, reason, total } in refused {
            let Some(names) = names.get(quota) else { continue };
            let seen = self.seen.insert((*quota, tier, reason), *total).unwrap_or(0);
            // Fewer than before: a new row.
            let more = if *total >= seen { total - seen } else { *total };
            let policy = names.policy(reason).cloned();
            *self.totals.entry((names.listener.clone(), tier, reason, policy)).or_default() += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use ir::PolicyNames;

    use super::*;

    #[test]
    fn outcomes_rise_over_programs_that_are_started_anew() {
        let board = Board(Arc::default());
        let mut shown = board.shown();
        shown.lines.add(Told { told: 5, not_told: 3, lost: 1 });
        shown.lines.add(Told { told: 6, not_told: 4, lost: 1 });
        drop(shown);
        // Other programs, or none.
        board.show(None, Vec::new(), Vec::new(), "accept");
        board.shown().lines.add(Told { told: 9, not_told: 9, lost: 9 });
        [true, true, false].into_iter().for_each(|told| board.told(told));
        assert_eq!(board.shown().lines.outcomes(), [("told", 2), ("not_told", 14), ("lost", 10)]);
    }

    #[test]
    fn totals_rise_over_rows_that_come_and_go() {
        let quota = QuotaId::of("default/eg:80/TCP");
        let listener = ListenerId("default/eg/web".into());
        let names = Names { listener: listener.clone(), policies: PolicyNames::default() };
        let names = BTreeMap::from([(quota, names)]);
        let mut tally = Tally::default();
        let mut add = |total: u64| {
            tally.add(&[Refusals { quota, tier: "xdp", reason: "r", total }], &names);
            tally.totals[&(listener.clone(), "xdp", "r", None)]
        };
        assert_eq!([add(3), add(3), add(5), add(1), add(2)], [3, 3, 5, 6, 7]);
        tally.add(&[Refusals { quota: QuotaId::of("gone"), tier: "xdp", reason: "r", total: 9 }], &names);
        assert_eq!(tally.totals.len(), 1, "what has no name is not shown");
    }
}
