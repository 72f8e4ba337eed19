use std::{sync::Arc, time::Duration};

use http::StatusCode;
use ir::{ListenerId, RuleId};
use prometheus::proto;

use super::{
    cells::Cells,
    series::Series,
    table::{REQUEST_DURATION, REQUESTS},
};

/// Upper bounds of the duration's buckets, in microseconds; one more bucket takes the rest.
const BOUNDS: [u64; 16] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The label `code`, by place.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

const FIRST_BUCKET: usize = CLASSES.len();
const SUM: usize = FIRST_BUCKET + BOUNDS.len() + 1;

/// The key of a rule's series. Empty names: requests that no rule answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RuleLabels {
    listener: ListenerId,
    route: Arc<str>,
    rule: String,
}

impl RuleLabels {
    /// `rule: None`: requests that no rule answers.
    pub(super) fn new(listener: &ListenerId, rule: Option<&RuleId>) -> Self {
        Self {
            listener: listener.clone(),
            route: rule.map_or_else(|| "".into(), |rule| Arc::clone(&rule.route)),
            rule: rule.map_or_else(String::new, |rule| match &rule.name {
                Some(name) => name.to_string(),
                None => rule.index.to_string(),
            }),
        }
    }
}

/// Handles of one rule under one listener.
pub(crate) struct RuleMetrics {
    labels: RuleLabels,
    cells: Cells<{ SUM + 1 }>,
}

impl RuleMetrics {
    pub(super) fn new(labels: RuleLabels) -> Self {
        Self { labels, cells: Cells::new() }
    }

    /// Counts a request that has ended. `status` is what the client was sent, if anything.
    pub(crate) fn observe(&self, status: Option<StatusCode>, duration: Duration) {
        let class = status.map_or(0, |status| usize::from(status.as_u16() / 100)).min(CLASSES.len() - 1);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX >> 16);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.cells.add_each([(class, 1), (FIRST_BUCKET + bucket, 1), (SUM, micros)]);
    }

    /// Rules of one route stand side by side.
    pub(super) fn same_route(&self, other: &Self) -> bool {
        self.labels.listener == other.labels.listener && self.labels.route == other.labels.route
    }
}

impl Series for RuleMetrics {
    const FAMILIES: &[super::Family] = &[REQUESTS];

    fn collect(&self, into: &mut [Vec<proto::Metric>]) {
        let [requests] = into else { return };
        let RuleLabels { listener, route, rule } = &self.labels;
        for (place, class) in CLASSES.iter().enumerate() {
            let count = self.cells.sum(place);
            if count > 0 {
                requests.push(REQUESTS.series(&[&listener.0, route, rule, class], count));
            }
        }
    }
}

/// The durations of the rules of one route, as one series; none if there was no request.
pub(super) fn route_duration(rules: &[Arc<RuleMetrics>]) -> Option<proto::Metric> {
    let RuleLabels { listener, route, .. } = &rules.first()?.labels;
    let sum = |counter: usize| rules.iter().map(|rule| rule.cells.sum(counter)).fold(0, u64::wrapping_add);
    let counts: [u64; BOUNDS.len() + 1] = std::array::from_fn(|bucket| sum(FIRST_BUCKET + bucket));
    let seconds = |micros: u64| micros as f64 / 1e6;
    let series = || {
        REQUEST_DURATION.histogram(&[&listener.0, route], &BOUNDS.map(seconds), &counts, seconds(sum(SUM)))
    };
    counts.iter().any(|count| *count > 0).then(series)
}
