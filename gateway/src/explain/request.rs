//! `gateway explain request`: which listener, route, rule and match would have a request, why that one, and what becomes
//! of it. The proxy finds it by its own router (`proxy::explain`); here each part gets the file and line behind it.

mod answer;
mod asked;
mod percent;
#[cfg(test)]
mod tests;
mod told;
mod words;

pub(crate) use answer::{BackendLine, CourseLine, MatchLine, RequestAnswer};
pub(crate) use asked::AskedRequest;
