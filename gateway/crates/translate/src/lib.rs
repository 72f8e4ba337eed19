//! From manifests to what is served: which route and which policy goes where, with every precedence decided.
//!
//! [`translate`] is a pure function: the same objects, in whatever order their files were read, give the same
//! [`ir::Gateway`], the same statuses and the same diagnostics, and it never touches a socket. Rooms, in the
//! order in which they are walked through:
//!
//! 1. `attach`: which Gateways are ours and on which addresses, which of their listeners can be served, which
//!    policy governs a listener, which listeners a route is attached to;
//! 2. `build`: policies, certificates, rules and backends as `ir` has them;
//! 3. `status`: conditions with typed reasons, for every object and ancestor.
//!
//! A [`Translator`] gives the same for one set after another, and sooner.
//!
//! A user's mistake is never an `Err`: it is a condition of one object, and a diagnostic with its place.

mod attach;
mod build;
mod grants;
mod index;
mod limits;
mod origins;
mod report;
mod services;
mod status;
mod translation;
mod translator;

pub use limits::EffectiveLimit;
pub use origins::{Origins, Setting, Source};
pub use services::GatewayService;
pub use status::{ObjectStatus, Statuses};
pub use translation::{HostFacts, Translation, translate};
pub use translator::Translator;
