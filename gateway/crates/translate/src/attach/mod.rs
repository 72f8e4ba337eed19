//! Who belongs to whom: classes and Gateways that are ours, addresses, listeners, policies, routes.

mod addresses;
mod authorities;
mod backend_policies;
mod claims;
mod classes;
mod client_certificate;
mod client_validation;
mod conflicts;
mod gateways;
mod listener_sets;
mod listeners;
mod owner;
mod parents;
mod policies;
mod ports;
mod routes;
mod targets;

pub(crate) use addresses::Addresses;
pub(crate) use authorities::{AuthorityProblem, AuthorityRef, ResolvedAuthorities};
pub(crate) use backend_policies::{BackendKey, BackendPolicies, BackendPolicyState, BackendTarget};
pub(crate) use classes::{ClassState, Classes};
pub(crate) use client_certificate::ClientCertificate;
pub(crate) use client_validation::insecure_modes;
pub(crate) use gateways::{GatewayState, gateways};
pub(crate) use listener_sets::SetState;
pub(crate) use listeners::{ListenerState, ROUTE_KIND};
pub(crate) use owner::Owner;
pub(crate) use parents::Parents;
pub(crate) use policies::{Ancestor, ListenerPlace, Policies, PolicyState};
pub(crate) use routes::{Parent, RouteState, routes};
pub(crate) use targets::TargetedPolicy;
