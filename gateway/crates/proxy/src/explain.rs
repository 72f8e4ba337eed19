//! Would a connection be served, and why not? Which rule would have a request, and why that one? Walks what a connection
//! and a request walk, by the same code and in the same order, and takes nothing on the way.

mod candidates;
mod course;
mod explainer;
mod explanation;
mod request;
#[cfg(test)]
mod tests;
mod walk;

#[cfg(test)]
pub(crate) use explainer::explain_request;
pub use explainer::{Explainer, Question};
pub use explanation::{Check, Explanation, Moment, Nearest, Outcome, Path, Reads, Step};
pub use request::{Asked, Candidate, Chance, Course, Ending, Miss, Request, RequestExplanation};
