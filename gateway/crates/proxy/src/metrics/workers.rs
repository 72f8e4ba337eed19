use prometheus::{IntGaugeVec, Registry};

use super::{gauges, table::WORKER_STALLED};

/// Metrics about the workers, for whoever asks them whether they answer.
#[derive(Clone, Debug)]
pub struct WorkerMetrics(IntGaugeVec);

impl WorkerMetrics {
    /// Registers them. At most once per registry: a second registration is logged and prints nothing.
    pub fn new(registry: &Registry) -> Self {
        Self(gauges(registry, WORKER_STALLED))
    }

    /// Whether a worker, by its number, has not answered in time.
    pub fn stalled(&self, worker: usize, stalled: bool) {
        self.0.with_label_values(&[worker.to_string()]).set(stalled.into());
    }
}
