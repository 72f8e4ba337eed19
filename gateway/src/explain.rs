//! `gateway explain connection` and `request`: what would become of a connection, and who has decided so. The proxy walks the checks
//! (`proxy::explain`); here each gets the policy, file and line behind it, and the kernel its say.

mod answer;
mod context;
mod question;
mod request;
mod row;
mod sight;
#[cfg(test)]
mod tests;

pub(crate) use answer::{Answer, Behind, Line, Verdict, Way};
pub(crate) use context::{Context, Running};
pub(crate) use question::{Asked, Misread};
pub(crate) use request::{AskedRequest, RequestAnswer};
