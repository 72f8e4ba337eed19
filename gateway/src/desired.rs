//! From files to what they ask for: the one place where manifests are loaded and translated.

mod memory;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use manifest::{Diagnostic, Loader, Spent};
use translate::{
    EffectiveLimit, GatewayService, HostFacts, Origins, Statuses, Translation, Translator, translate,
};

use crate::{
    digest::{BEING_WRITTEN, Cache, Digests},
    host,
    phases::{Phases, timed},
    status_store::ObjectStatus,
    watch::Watch,
};
use memory::Memory;

/// What the files ask for.
#[derive(Debug)]
pub(crate) struct Desired {
    /// What was read.
    pub(crate) files: Digests,
    /// With every decision taken.
    pub(crate) config: ir::Gateway,
    /// Of every object that has one; of those that stand as they stood, the very same as before.
    pub(crate) statuses: Statuses,
    /// What decides which connections are served.
    pub(crate) limits: Vec<EffectiveLimit>,
    /// Who has set the rest that a connection meets.
    pub(crate) origins: Origins,
    /// What each Gateway that is served is to those around it.
    pub(crate) services: Vec<GatewayService>,
    /// What is wrong with the files.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What that took.
    pub(crate) phases: Phases,
}

/// A directory of manifests, and what is remembered of it between reloads and over restarts.
#[derive(Debug)]
pub(crate) struct Source {
    root: PathBuf,
    loader: Loader,
    translator: Translator,
    memory: Memory,
    digests: Cache,
    files: Option<Digests>,
}

impl Source {
    /// Remembers what was in force when an earlier process ended, if that can be read. The text says why not.
    pub(crate) fn open(root: &Path, state_dir: &Path) -> (Self, Option<String>) {
        let (memory, state, complaint) = Memory::open(state_dir);
        let loader = Loader::new(root, state);
        (
            Self {
                root: root.to_owned(),
                loader,
                translator: Translator::default(),
                memory,
                digests: Cache::default(),
                files: None,
            },
            complaint,
        )
    }

    /// `None`: the files are what they were at the last call.
    pub(crate) fn read(&mut self, watch: &mut Watch) -> Option<Desired> {
        let (files, digested) = timed(|| self.digests.digests(&self.root, watch.busy()));
        if self.files.as_ref() == Some(&files) {
            return None;
        }
        Some(self.load(files, digested, watch))
    }

    /// The same again, for what was not the files' fault.
    pub(crate) fn again(&mut self, watch: &mut Watch) -> Desired {
        let (files, digested) = timed(|| self.digests.digests(&self.root, watch.busy()));
        self.load(files, digested, watch)
    }

    /// Keeps what the next process must know; after everybody has been served.
    pub(crate) fn remember(&mut self) {
        self.memory.keep(self.loader.state());
    }

    fn load(&mut self, mut files: Digests, digested: Duration, watch: &mut Watch) -> Desired {
        let set = self.loader.load_unless(&mut |paths| {
            let half = watch.half_written(paths);
            for (path, _) in paths.iter().zip(&half).filter(|(_, half)| **half) {
                // What it holds by now is not in force: the next look must find it different.
                if let Ok(relative) = path.strip_prefix(&self.root) {
                    files.0.insert(relative.display().to_string(), BEING_WRITTEN.to_owned());
                }
            }
            half
        });
        self.files = Some(files.clone());
        let facts = HostFacts { addresses: host::addresses(), authorities: host::authorities() };
        let (translation, translate) = timed(|| self.translator.translate(&set, &facts));
        let Translation { gateway: config, statuses, limits, origins, services, diagnostics } = translation;
        let Spent { read, parse } = self.loader.spent();
        let phases = Phases { read: read + digested, parse, translate, ..Phases::default() };
        Desired { files, config, statuses, limits, origins, services, diagnostics, phases }
    }
}

/// What translation makes of a set of manifests.
#[derive(Debug)]
pub(crate) struct Translated {
    /// With every decision taken.
    pub(crate) config: ir::Gateway,
    /// Of every object that has one.
    pub(crate) statuses: Vec<ObjectStatus>,
    /// What decides which connections are served.
    pub(crate) limits: Vec<EffectiveLimit>,
    /// Who has set the rest that a connection meets.
    pub(crate) origins: Origins,
    /// What is wrong with the files, those of the loader included.
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// What that took.
    pub(crate) phases: Phases,
}

/// Loads and translates without a memory, for `gateway check`. The manifests may be another host's, so that
/// every address counts as present.
pub(crate) fn check(paths: &[PathBuf]) -> Translated {
    let mut loader = Loader::of_paths(paths.iter().cloned());
    let set = loader.load();
    let facts = HostFacts { addresses: None, authorities: host::authorities() };
    let (translation, translate) = timed(|| translate(&set, &facts));
    let Translation { gateway: config, statuses, limits, origins, services: _, diagnostics } = translation;
    let statuses = statuses.iter().map(|status| ObjectStatus::from(&**status)).collect();
    let Spent { read, parse } = loader.spent();
    let phases = Phases { read, parse, translate, ..Phases::default() };
    Translated { config, statuses, limits, origins, diagnostics, phases }
}

#[cfg(test)]
mod tests;
