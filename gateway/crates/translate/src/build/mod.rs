//! What `ir` wants: settings of clients and TLS, rules, backends, and the ports that they are served on.

mod appliance;
mod backends;
mod binds;
mod client;
mod connection;
mod filters;
mod governing;
mod hosts;
mod matches;
mod notes;
mod rules;
mod tls;
mod upstream_tls;

pub(crate) use appliance::{ApplianceState, appliances};
pub(crate) use backends::{BackendState, Upstreams, backends};
pub(crate) use binds::binds;
pub(crate) use client::{ClientPolicies, ClientPolicy};
pub(crate) use connection::ConnectionPolicies;
pub(crate) use governing::{Governing, listener_id};
pub(crate) use notes::Remarks;
pub(crate) use rules::{RouteRules, rules};
pub(crate) use upstream_tls::{BackendTls, BackendTlsPolicyState};
