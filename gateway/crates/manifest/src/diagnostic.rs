use std::{fmt, path::Path, sync::Arc};

use serde::Serialize;

use crate::ObjectId;

/// How grave a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Note,
    /// Served, but not all that was asked for, or probably not what was meant.
    Warning,
    /// Refused: the object, file or field has no effect (or its last good version stays in force).
    Error,
}

/// A place in a file, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// Where an object or a mistake stands. The path is relative to the configuration directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Origin {
    /// The file.
    pub file: Arc<Path>,
    /// The place, where one is known.
    pub position: Option<Position>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.position {
            Some(Position { line, column }) => write!(f, ":{line}:{column}"),
            None => Ok(()),
        }
    }
}

/// A user's mistake or something that the user should know: never an `Err` that stops the appliance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Diagnostic {
    /// How grave it is.
    pub severity: Severity,
    /// File, line, column.
    pub origin: Origin,
    /// The object it is about, where one could be told.
    pub object: Option<ObjectId>,
    /// `spec.rules[0].matches[1].path.type`; empty for the file or the object as a whole.
    pub field_path: String,
    /// A stable CamelCase word for machines: `UnknownField`, `InvalidType`, `DuplicateObject`, ...
    pub reason: &'static str,
    /// For people: what was found, what was expected, the nearest valid name. Lower case, one line.
    pub message: String,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// `error: FILE:LINE:COLUMN: KIND NAMESPACE/NAME: spec.x.y: message [Reason]`, on one line.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.severity, self.origin)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        if !self.field_path.is_empty() {
            write!(f, "{}: ", self.field_path)?;
        }
        write!(f, "{} [{}]", self.message, self.reason)
    }
}
