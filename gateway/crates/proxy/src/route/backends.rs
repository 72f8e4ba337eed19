use std::sync::Arc;

use ir::{BackendChoice, BackendTarget};

use crate::{
    filter::Filters,
    random,
    snapshot::{Builder, Upstream},
};

/// The backends of a rule. Each request is drawn by weight, independent of the ones before it.
pub(crate) struct Backends {
    shares: Box<[Share]>,
}

/// One of a rule's backends.
pub(crate) struct Share {
    /// Where it ends, in the sum of weights.
    end: u64,
    /// What is done to requests that go there, and to their responses.
    pub(crate) filters: Filters,
    /// Where they go. `None`: 500 (the reference is unresolved).
    pub(crate) upstream: Option<Arc<Upstream>>,
}

impl Backends {
    /// Takes the upstreams of a rule from the snapshot that is being built.
    pub(super) fn build(choices: &[BackendChoice], builder: &mut Builder<'_>) -> Self {
        let mut end = 0;
        let shares = choices.iter().filter(|choice| choice.weight > 0).map(|choice| {
            end += u64::from(choice.weight);
            let upstream = match &choice.target {
                BackendTarget::Upstream(config) => Some(builder.upstream(config)),
                BackendTarget::Unresolved => None,
            };
            Share { end, filters: Filters::compile(&choice.filters, builder), upstream }
        });
        Self { shares: shares.collect() }
    }

    /// Where this request goes: a place for [`Backends::share`]. `None`: 500 (no backend, no weight).
    pub(crate) fn pick(&self) -> Option<usize> {
        match &*self.shares {
            [] => None,
            [_] => Some(0),
            [.., last] => {
                let drawn = random::below(last.end);
                Some(self.shares.partition_point(|share| share.end <= drawn))
            }
        }
    }

    /// The backend at a place that was drawn.
    pub(crate) fn share(&self, place: usize) -> Option<&Share> {
        self.shares.get(place)
    }
}
