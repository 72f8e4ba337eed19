use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::{
    Family, register,
    table::{CERTIFICATE_NOT_AFTER, CONFIG_GENERATION, CONFIG_LAST_RELOAD, CONFIG_RELOADS},
};

/// Metrics about the configuration, for whoever reloads it.
#[derive(Clone, Debug)]
pub struct ConfigMetrics {
    reloads: IntCounterVec,
    generation: IntGauge,
    last_reload: IntGauge,
    not_after: IntGaugeVec,
}

impl ConfigMetrics {
    /// Registers them. At most once per registry: a second registration is logged and prints nothing.
    pub fn new(registry: &Registry) -> Self {
        let reloads = CONFIG_RELOADS;
        let not_after = CERTIFICATE_NOT_AFTER;
        let metrics = Self {
            reloads: IntCounterVec::new(opts(reloads), reloads.labels).expect("well-formed"),
            generation: gauge(CONFIG_GENERATION),
            last_reload: gauge(CONFIG_LAST_RELOAD),
            not_after: IntGaugeVec::new(opts(not_after), not_after.labels).expect("well-formed"),
        };
        register(registry, metrics.reloads.clone());
        register(registry, metrics.generation.clone());
        register(registry, metrics.last_reload.clone());
        register(registry, metrics.not_after.clone());
        metrics
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

    /// A reload found nothing new.
    pub fn unchanged(&self) {
        self.reloads.with_label_values(&["unchanged"]).inc();
    }

    /// A reload could not be carried out; the configuration before it stays in force.
    pub fn failed(&self) {
        self.reloads.with_label_values(&["failed"]).inc();
    }
}

fn gauge(family: Family) -> IntGauge {
    IntGauge::with_opts(opts(family)).expect("well-formed")
}

fn opts(family: Family) -> Opts {
    Opts::new(family.name, family.help)
}
