//! Every metric of the data plane: one table, handles that are resolved when a snapshot is built, and a
//! registry that the admin page reads.

mod cells;
mod config;
mod descriptors;
mod family;
mod kernel;
mod listener;
mod refusals;
mod rule;
mod series;
mod table;
#[cfg(test)]
mod tests;
mod upstream;
mod workers;

use std::sync::Arc;

use ir::{ListenerId, PolicyNames, RuleId};
use prometheus::{
    GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};

use crate::{slots::Tracked, telling::Telling};

pub use config::ConfigMetrics;
use descriptors::DescriptorCollector;
pub use family::{Family, Kind};
pub use kernel::{KernelMetrics, KernelReading, KernelRefusals};
pub(crate) use listener::ListenerMetrics;
pub(crate) use refusals::ListenerRefusals;
use refusals::{RefusalLabels, RefusalMetrics};
use rule::RuleLabels;
pub(crate) use rule::RuleMetrics;
use series::{DurationCollector, Live, LiveCollector};
pub use table::TABLE;
/// Names of the families that count refused connections, and those that a dry run would have refused.
pub const REFUSED: &str = table::CONNECTIONS_REFUSED.name;
/// As [`REFUSED`].
pub const DRY_RUN: &str = table::CONNECTIONS_DRY_RUN.name;
use table::{
    ACCEPT_PAUSES, ACCESS_LOG_DROPPED, CONNECTION_PANICS, PREDECESSOR_CONNECTIONS, REFUSALS_TOLD,
    TRACKED_SOURCES, TRACKED_SOURCES_EVICTED,
};
pub(crate) use upstream::UpstreamMetrics;
pub use workers::WorkerMetrics;

/// Every metric of the data plane.
pub(crate) struct Metrics {
    registry: Registry,
    panics: IntCounter,
    accept_pauses: IntCounter,
    access_log_dropped: IntCounter,
    predecessor_connections: IntGauge,
    tracked_sources: IntGauge,
    tracked_sources_evicted: IntCounter,
    refusals_told: IntCounterVec,
    listeners: Live<ListenerId, ListenerMetrics>,
    refusals: Live<RefusalLabels, RefusalMetrics>,
    rules: Live<RuleLabels, RuleMetrics>,
    upstreams: Live<Arc<str>, UpstreamMetrics>,
}

impl Metrics {
    /// Registers every family.
    pub(crate) fn new() -> Self {
        let registry = Registry::new();
        let (listeners, refusals) = (Live::default(), Live::default());
        let (rules, upstreams) = (Live::default(), Live::default());
        register(&registry, LiveCollector::new(&listeners));
        register(&registry, LiveCollector::new(&refusals));
        register(&registry, LiveCollector::new(&rules));
        register(&registry, LiveCollector::new(&upstreams));
        register(&registry, DurationCollector::new(&rules));
        register(&registry, DescriptorCollector::new());
        Self {
            panics: counter(&registry, CONNECTION_PANICS),
            accept_pauses: counter(&registry, ACCEPT_PAUSES),
            access_log_dropped: counter(&registry, ACCESS_LOG_DROPPED),
            predecessor_connections: gauge(&registry, PREDECESSOR_CONNECTIONS),
            tracked_sources: gauge(&registry, TRACKED_SOURCES),
            tracked_sources_evicted: counter(&registry, TRACKED_SOURCES_EVICTED),
            refusals_told: counters(&registry, REFUSALS_TOLD),
            registry,
            listeners,
            refusals,
            rules,
            upstreams,
        }
    }

    /// For the admin page.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A connection's task has panicked.
    pub(crate) fn panicked(&self) {
        self.panics.inc();
    }

    /// Accepting has paused for want of descriptors.
    pub(crate) fn accept_paused(&self) {
        self.accept_pauses.inc();
    }

    /// Counts access-log lines that were not written.
    pub(crate) fn access_log_dropped(&self) -> IntCounter {
        self.access_log_dropped.clone()
    }

    /// Connections that a predecessor serves.
    pub(crate) fn predecessor_connections(&self) -> IntGauge {
        self.predecessor_connections.clone()
    }

    /// A table of so many sources, which counts here.
    pub(crate) fn tracked(&self, room: usize) -> Tracked {
        Tracked::new(room, self.tracked_sources.clone(), self.tracked_sources_evicted.clone())
    }

    /// The handles of a listener.
    pub(crate) fn listener(&self, id: &ListenerId) -> Arc<ListenerMetrics> {
        let unrouted = || {
            let labels = RuleLabels::new(id, None);
            self.rules.handle(labels.clone(), || RuleMetrics::new(labels))
        };
        self.listeners.handle(id.clone(), || ListenerMetrics::new(id.clone(), unrouted()))
    }

    /// Where refused connections are told of, which counts here.
    pub(crate) fn telling(&self) -> Telling {
        let counter = |outcome| self.refusals_told.with_label_values(&["accept", outcome]);
        Telling::new(counter("told"), counter("not_told"))
    }

    /// The handles of a listener's refused connections, by the policies that refuse them.
    pub(crate) fn refusals(&self, id: &ListenerId, policies: &PolicyNames) -> ListenerRefusals {
        ListenerRefusals::new(&self.refusals, id, policies)
    }

    /// The handles of a rule under a listener.
    pub(crate) fn rule(&self, listener: &ListenerId, rule: &RuleId) -> Arc<RuleMetrics> {
        let labels = RuleLabels::new(listener, Some(rule));
        self.rules.handle(labels.clone(), || RuleMetrics::new(labels))
    }

    /// The handles of a backend, by the name that the manifests give it.
    pub(crate) fn upstream(&self, name: &Arc<str>) -> Arc<UpstreamMetrics> {
        self.upstreams.handle(Arc::clone(name), || UpstreamMetrics::new(Arc::clone(name)))
    }
}

fn counter(registry: &Registry, family: Family) -> IntCounter {
    let counter = IntCounter::new(family.name, family.help).expect("names in the table are well-formed");
    register(registry, counter.clone());
    counter
}

fn counters(registry: &Registry, family: Family) -> IntCounterVec {
    let options = Opts::new(family.name, family.help);
    let counters = IntCounterVec::new(options, family.labels).expect("names in the table are well-formed");
    register(registry, counters.clone());
    counters
}

fn gauges(registry: &Registry, family: Family) -> IntGaugeVec {
    let options = Opts::new(family.name, family.help);
    let gauges = IntGaugeVec::new(options, family.labels).expect("names in the table are well-formed");
    register(registry, gauges.clone());
    gauges
}

fn fractions(registry: &Registry, family: Family) -> GaugeVec {
    let options = Opts::new(family.name, family.help);
    let gauges = GaugeVec::new(options, family.labels).expect("names in the table are well-formed");
    register(registry, gauges.clone());
    gauges
}

fn gauge(registry: &Registry, family: Family) -> IntGauge {
    let gauge = IntGauge::new(family.name, family.help).expect("names in the table are well-formed");
    register(registry, gauge.clone());
    gauge
}

/// Registration fails only for a name that is taken, which a test over the table excludes.
fn register(registry: &Registry, collector: impl Collector + 'static) {
    if let Err(error) = registry.register(Box::new(collector)) {
        tracing::error!(%error, "cannot register a metric");
    }
}
