use std::time::Duration;

/// What the last load of a [`Loader`](super::Loader) took, by what it did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Listing the directory and reading what has changed.
    pub read: Duration,
    /// Texts to typed objects, and the choice of which are in force.
    pub parse: Duration,
}
