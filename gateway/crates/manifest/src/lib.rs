//! From files to typed objects and diagnostics: YAML and JSON are read into raw trees with positions, checked
//! against the schemas of the kinds we model, and typed. Knows nothing of what the objects mean together:
//! that is `translate`.

mod diagnostic;
pub mod kind;
mod object;
mod set;

pub use diagnostic::{Diagnostic, Origin, Position, Severity};
pub use object::{Meta, Object, ObjectId, Positions, SpecState, Timestamp};
pub use set::ManifestSet;
