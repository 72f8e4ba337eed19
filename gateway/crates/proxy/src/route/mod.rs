//! Finds the rule of a request.
//!
//! The answer is always that of the plain scan that `ir` describes: the most specific virtual host, and in it
//! the first entry that matches. The index only makes it cheap.

mod backends;
mod conditions;
mod host;
mod query;
mod router;
mod rule;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use backends::{Backends, Share};
pub(crate) use conditions::Request;
pub(crate) use host::{authority, host_name, without_port};
pub(crate) use router::{Router, RuleKey};
pub(crate) use rule::{Action, Rule};
