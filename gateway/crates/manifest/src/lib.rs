//! From files to typed objects and diagnostics: YAML and JSON are read into raw trees with positions, checked
//! against the schemas of the kinds we model, and typed. Knows nothing of what the objects mean together:
//! that is `translate`.
//!
//! [`Loader`] walks the configuration directory and reads what changed; [`ManifestSet`] is what is in force.

mod check;
mod diagnostic;
mod document;
mod excerpt;
mod fields;
mod force;
mod key_dirs;
pub mod kind;
mod known;
mod loader;
mod modelled;
mod nearest;
mod node;
mod object;
pub mod raw;
mod set;
mod shape;
mod state;
mod timestamp;
mod typing;
mod walk;
mod yaml;

pub use diagnostic::{Diagnostic, Origin, Position, Severity};
pub use excerpt::excerpt;
pub use fields::{Field, KindFields, UnservedKind, fields, unserved_kinds};
pub use loader::{Loader, Spent};
pub use modelled::schema;
pub use nearest::did_you_mean;
pub use object::{Meta, Object, ObjectId, Positions, SpecState, Timestamp};
pub use set::ManifestSet;
pub use state::{LoaderState, StoredObject};
