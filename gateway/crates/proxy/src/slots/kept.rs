use std::sync::{Arc, PoisonError, RwLock};

use ir::ConnectionRate;

use super::{Counted, Keeper};

/// The way to the successor that keeps the counts of this process, once there is one. Shared by all of them.
#[derive(Clone, Default)]
pub(crate) struct Way(Arc<RwLock<Option<Arc<dyn Keeper>>>>);

impl Way {
    /// Leads to this successor from now on, or to none.
    pub(crate) fn lead_to(&self, keeper: Option<Arc<dyn Keeper>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keeper;
    }

    /// Who is there.
    fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As [`Keeper::take`].
    pub(super) fn take(&self, counted: &Counted, limit: Option<u64>) -> Option<bool> {
        self.keeper()?.take(counted, limit)
    }

    /// As [`Keeper::free`].
    pub(super) fn free(&self, counted: &Counted) {
        if let Some(keeper) = self.keeper() {
            keeper.free(counted);
        }
    }

    /// As [`Keeper::spend`].
    pub(super) fn spend(&self, counted: &Counted, rate: ConnectionRate) -> Option<bool> {
        self.keeper()?.spend(counted, rate)
    }
}

/// Under which name a successor keeps one count, and the way to it.
#[derive(Clone)]
pub(crate) struct Kept(Option<(Counted, Way)>);

impl Kept {
    /// A count that is never handed over.
    pub(crate) const fn here() -> Self {
        Self(None)
    }

    /// One that is handed over by this name.
    pub(crate) fn new(counted: Counted, way: &Way) -> Self {
        Self(Some((counted, way.clone())))
    }

    /// As [`Keeper::take`].
    pub(super) fn take(&self, limit: Option<u64>) -> Option<bool> {
        let (counted, way) = self.0.as_ref()?;
        way.take(counted, limit)
    }

    /// As [`Keeper::free`].
    pub(super) fn free(&self) {
        if let Some((counted, way)) = &self.0 {
            way.free(counted);
        }
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kept").field(&self.0.as_ref().map(|(counted, _)| counted)).finish()
    }
}
