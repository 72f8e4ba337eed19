use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::{GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::{
    counters, fractions, gauge, gauges,
    table::{CERTIFICATE_NOT_AFTER, CONFIG_GENERATION, CONFIG_LAST_RELOAD, CONFIG_PHASE, CONFIG_RELOADS},
};

/// Metrics about the configuration, for whoever reloads it.
#[derive(Clone, Debug)]
pub struct ConfigMetrics {
    reloads: IntCounterVec,
    generation: IntGauge,
    last_reload: IntGauge,
    phases: GaugeVec,
    not_after: IntGaugeVec,
}

impl ConfigMetrics {
    /// Registers them. At most once per registry: a second registration is logged and prints nothing.
    pub fn new(registry: &Registry) -> Self {
        Self {
            reloads: counters(registry, CONFIG_RELOADS),
            generation: gauge(registry, CONFIG_GENERATION),
            last_reload: gauge(registry, CONFIG_LAST_RELOAD),
            phases: fractions(registry, CONFIG_PHASE),
            not_after: gauges(registry, CERTIFICATE_NOT_AFTER),
        }
    }

    /// A configuration was put in force: counts the reload, and shows its generation and certificates.
    pub fn published(&self, config: &ir::Gateway, generation: u64) {
        self.reloads.with_label_values(&["published"]).inc();
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_reload.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        self.not_after.reset();
        for listener in config.binds.iter().flat_map(|bind| &bind.listeners) {
            for certificate in listener.tls.iter().flat_map(|tls| &tls.certificates) {
                let labels = [&*listener.id.0, certificate.source()];
                self.not_after.with_label_values(&labels).set(certificate.not_after());
            }
        }
    }

    /// What the steps of a reload took, by their names.
    pub fn took(&self, phases: &[(&'static str, Duration)]) {
        for (name, time) in phases {
            self.phases.with_label_values(&[name]).set(time.as_secs_f64());
        }
    }

    /// A reload found nothing new.
    pub fn unchanged(&self) {
        self.reloads.with_label_values(&["unchanged"]).inc();
    }

    /// A reload could not be carried out; the configuration before it stays in force.
    pub fn failed(&self) {
        self.reloads.with_label_values(&["failed"]).inc();
    }
}
