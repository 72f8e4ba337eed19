//! Other controllers' routes to Gateway API: Ingress, with the annotations of two nginx controllers, and Traefik's
//! IngressRoute become HTTPRoutes and the Gateway that they attach to. What was served is served; where that cannot be, a
//! diagnostic says so with file, line and field. A pure function: texts in, objects and diagnostics out.
//!
//! Where a rule cannot be kept whole it is kept closed: what matched it is answered with 500, and not by a rule that was
//! never meant for it.

mod counterpart;
mod effects;
mod gateway;
mod ingress;
mod matches;
mod object;
mod order;
#[cfg(test)]
mod page;
mod remarks;
mod route;
mod rule;
mod services;
mod source;
mod spot;
mod traefik;
mod whole;

pub(crate) use gateway::Target;
pub(crate) use source::{Conversion, SourceFile, convert};
