use std::{
    fs, io,
    path::{Path, PathBuf},
};

use manifest::LoaderState;

use crate::whole_file;

const NAME: &str = "last-good.json";

/// What outlives the process, in the state directory: last good versions of objects, and when each was first
/// seen. It may hold keys, so that only the service may read it.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    kept: LoaderState,
}

impl Memory {
    /// What an earlier process has kept. Missing or broken, it is as if there had been none; broken, the text
    /// says why.
    pub(super) fn open(state_dir: &Path) -> (Self, Option<LoaderState>, Option<String>) {
        let path = state_dir.join(NAME);
        let (state, complaint) = match read(&path) {
            Ok(state) => (Some(state), None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None),
            Err(error) => {
                let what = "last good versions and times of creation are forgotten";
                (None, Some(format!("cannot read {}: {error}; {what}", path.display())))
            }
        };
        let kept = state.clone().unwrap_or_default();
        (Self { path, kept }, state, complaint)
    }

    /// Writes it, if it is not what was kept before.
    pub(super) fn keep(&mut self, state: LoaderState) {
        if state == self.kept {
            return;
        }
        let text = serde_json::to_vec(&state).unwrap_or_default();
        match whole_file::write_secret(&self.path, &text) {
            Ok(()) => self.kept = state,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "cannot keep what a restart needs to know");
            }
        }
    }
}

fn read(path: &Path) -> io::Result<LoaderState> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}
