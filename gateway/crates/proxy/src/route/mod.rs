//! Finds the rule of a request.

use crate::snapshot::Builder;

/// The rules of one listener.
pub(crate) struct Router;

impl Router {
    /// Indexes the rules of a listener.
    pub(crate) fn build(_listener: &ir::Listener, _builder: &mut Builder<'_>) -> Self {
        Self
    }
}
