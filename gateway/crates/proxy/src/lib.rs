//! From an `ir::Gateway` to served traffic: snapshots, listeners, connections, protocols, routes, policies
//! and upstreams.
//!
//! [`Proxy`] is the whole public face. The main thread builds a snapshot, owns every listening socket and
//! publishes to the workers; a worker is one thread with a current-thread runtime, and everything that it
//! touches while traffic flows is its own (`Rc`, `Cell`). What cores share is atomics in `carry`.

pub mod access_log;
mod alarm;
mod body;
mod carry;
mod cohort;
mod connection;
mod descriptors;
mod error;
mod exchange;
mod filter;
mod http;
mod listener;
pub mod metrics;
mod policy;
mod proxy;
mod random;
mod refusal;
mod respond;
mod route;
mod slots;
mod snapshot;
mod sources;
mod tls;
mod upstream;
mod worker;

pub use listener::BindError;
pub use proxy::{ListenerState, Options, Prepared, Proxy};
pub use slots::{Count, Counted, Foreign, Keeper};
pub use sources::{Seen, Sources};
pub use worker::Pulse;
