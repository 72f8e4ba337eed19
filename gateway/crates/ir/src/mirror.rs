use std::sync::Arc;

use serde::Serialize;

use crate::Upstream;

/// Sends a copy of a share of the requests elsewhere; the answers are thrown away. Source: Gateway API
/// `HTTPRequestMirrorFilter`, GEP-3171.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// Where copies go; without endpoints: nowhere.
    pub upstream: Arc<Upstream>,
    /// Of [`denominator`](Self::denominator) requests so many are copied.
    pub numerator: u32,
    /// Not 0, and not below [`numerator`](Self::numerator).
    pub denominator: u32,
}
