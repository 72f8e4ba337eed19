//! Would a connection be served, and why not? Walks what a connection walks, by the same code and in the same order,
//! and takes nothing on the way.

mod explainer;
mod explanation;
#[cfg(test)]
mod tests;
mod walk;

pub use explainer::{Explainer, Question};
pub use explanation::{Check, Explanation, Moment, Nearest, Outcome, Path, Reads, Step};
