//! Who belongs to whom: classes and Gateways that are ours, addresses, listeners, policies, routes.

mod addresses;
mod classes;
mod conflicts;
mod gateways;
mod listeners;
mod policies;
mod ports;
mod routes;
mod targets;

pub(crate) use addresses::Addresses;
pub(crate) use classes::{ClassState, Classes};
pub(crate) use gateways::{GatewayState, gateways};
pub(crate) use listeners::{ListenerState, ROUTE_KIND};
pub(crate) use policies::{Ancestor, ListenerPlace, Policies, PolicyState};
pub(crate) use routes::{Parent, RouteState, routes};
pub(crate) use targets::TargetedPolicy;
