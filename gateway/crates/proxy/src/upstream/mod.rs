//! Upstreams.

/// The connections of one worker that wait for a request.
#[derive(Default)]
pub(crate) struct Pools;
