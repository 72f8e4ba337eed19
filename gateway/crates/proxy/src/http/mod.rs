//! The protocols that requests come in by.

pub(crate) mod h1;
pub(crate) mod h2;
