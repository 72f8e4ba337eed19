use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use prometheus::{
    core::{Collector, Desc},
    proto,
};

use super::{Family, rule::RuleLabels, rule::RuleMetrics, rule::route_duration, table::REQUEST_DURATION};

/// Handles that print as series of fixed families.
pub(super) trait Series: Send + Sync + 'static {
    /// The families, in the order of `collect`.
    const FAMILIES: &[Family];

    /// Adds the series of these handles to each family's.
    fn collect(&self, into: &mut [Vec<proto::Metric>]);
}

/// The handles that snapshots hold, by key. A snapshot that is let go of takes its series along, so what is
/// printed does not grow with the number of reloads. The map is locked while a snapshot is built and while
/// somebody reads, never by a request.
pub(super) struct Live<K, S>(Arc<Mutex<BTreeMap<K, Weak<S>>>>);

impl<K, S> Clone for Live<K, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, S> Default for Live<K, S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Ord, S> Live<K, S> {
    /// The handles of that key: those that another snapshot holds, else new ones.
    pub(super) fn handle(&self, key: K, new: impl FnOnce() -> S) -> Arc<S> {
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = live.entry(key).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let handle = Arc::new(new());
            *entry = Arc::downgrade(&handle);
            handle
        })
    }

    /// Every handle that is held, by key.
    fn handles(&self) -> Vec<Arc<S>> {
        let mut live = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, handle| handle.strong_count() > 0);
        live.values().filter_map(Weak::upgrade).collect()
    }
}

/// Prints live handles.
pub(super) struct LiveCollector<K, S> {
    live: Live<K, S>,
    descs: Vec<Desc>,
}

impl<K, S: Series> LiveCollector<K, S> {
    pub(super) fn new(live: &Live<K, S>) -> Self {
        Self { live: live.clone(), descs: S::FAMILIES.iter().map(Family::desc).collect() }
    }
}

impl<K: Ord + Send + Sync, S: Series> Collector for LiveCollector<K, S> {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut series = vec![Vec::new(); S::FAMILIES.len()];
        self.live.handles().iter().for_each(|handle| handle.collect(&mut series));
        S::FAMILIES.iter().zip(series).map(|(family, series)| family.gathered(series)).collect()
    }
}

/// Prints the durations of the rules' requests, summed by route.
pub(super) struct DurationCollector {
    rules: Live<RuleLabels, RuleMetrics>,
    desc: Desc,
}

impl DurationCollector {
    pub(super) fn new(rules: &Live<RuleLabels, RuleMetrics>) -> Self {
        Self { rules: rules.clone(), desc: REQUEST_DURATION.desc() }
    }
}

impl Collector for DurationCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let rules = self.rules.handles();
        let series = rules.chunk_by(|a, b| a.same_route(b)).filter_map(route_duration).collect();
        vec![REQUEST_DURATION.gathered(series)]
    }
}
