//! Raw trees with positions, for whoever reads kinds that are not modelled here.

use std::{path::Path, sync::Arc};

pub use crate::node::{Entry, Node};
use crate::{Diagnostic, Origin, Severity, yaml};

/// The documents of a YAML or JSON file, in order; empty ones are left out. The error says why none is read: no YAML,
/// or over the budgets of one file.
pub fn documents(file: &Arc<Path>, bytes: &[u8]) -> Result<Vec<Node>, Box<Diagnostic>> {
    yaml::read(bytes).map_err(|error| {
        Box::new(Diagnostic {
            severity: Severity::Error,
            origin: Origin { file: Arc::clone(file), position: error.position },
            object: None,
            field_path: String::new(),
            reason: error.reason,
            message: error.message,
        })
    })
}
