use std::sync::Arc;

use ir::{BackendChoice, BackendTarget};

use crate::{
    random,
    snapshot::{Builder, Upstream},
};

/// The backends of a rule. Each request is drawn by weight, independent of the ones before it.
pub(crate) struct Backends {
    /// Where the share of each ends, and its upstream; `None`: a reference that could not be resolved.
    shares: Box<[(u64, Option<Arc<Upstream>>)]>,
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
            (end, upstream)
        });
        Self { shares: shares.collect() }
    }

    /// Where this request goes: a place for [`Backends::upstream`]. `None`: 500 (no backend, no weight).
    pub(crate) fn pick(&self) -> Option<usize> {
        match &*self.shares {
            [] => None,
            [_] => Some(0),
            [.., (total, _)] => {
                let drawn = random::below(*total);
                Some(self.shares.partition_point(|(end, _)| *end <= drawn))
            }
        }
    }

    /// The upstream at a place. `None`: 500 (the reference is unresolved).
    pub(crate) fn upstream(&self, place: usize) -> Option<&Arc<Upstream>> {
        self.shares.get(place)?.1.as_ref()
    }
}
