//! Conditions with typed reasons, and the documents that they stand in, in the shape of each CRD.

mod condition;
mod document;
mod reason;

pub(crate) use condition::{Condition, ConditionType, with_warning};
pub(crate) use document::{Findings, documents};
pub use document::{ObjectStatus, Statuses};
pub(crate) use reason::{
    ApplianceReason, BackendReason, ClassReason, GatewayReason, ListenerReason, ListenerSetReason,
    PolicyReason, Reason, RouteReason, StaleReason,
};
