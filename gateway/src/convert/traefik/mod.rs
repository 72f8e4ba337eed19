//! IngressRoute of Traefik, in the rule language of its versions 2 and 3, with Middlewares.

mod conjunction;
mod expression;
mod headers;
mod host;
mod middleware;
mod normal;
mod paths;
mod redirects;
mod router;
mod routes;
mod service;
pub(super) mod table;
mod template;

pub(super) use routes::{is_one, routes};
