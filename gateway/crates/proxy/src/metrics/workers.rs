use prometheus::{IntGaugeVec, Opts, Registry};

use super::{register, table::WORKER_STALLED};

/// Metrics about the workers, for whoever asks them whether they answer.
#[derive(Clone, Debug)]
pub struct WorkerMetrics(IntGaugeVec);

impl WorkerMetrics {
    /// Registers them. At most once per registry: a second registration is logged and prints nothing.
    pub fn new(registry: &Registry) -> Self {
        let family = WORKER_STALLED;
        let opts = Opts::new(family.name, family.help);
        let stalled = IntGaugeVec::new(opts, family.labels).expect("well-formed");
        register(registry, stalled.clone());
        Self(stalled)
    }

    /// Whether a worker, by its number, has not answered in time.
    pub fn stalled(&self, worker: usize, stalled: bool) {
        self.0.with_label_values(&[worker.to_string()]).set(stalled.into());
    }
}
