//! One file per object: `{runtime-dir}/status/KIND.GROUP/NAMESPACE/NAME.json`, in the shape that an API server
//! would show. A cluster-scoped object has `_` for its namespace (no namespace has that name), a core kind has
//! no `.GROUP`.

mod transition;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use manifest::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{clock, whole_file};

/// What stands in place of a namespace in the path of a cluster-scoped object's file.
pub(crate) const CLUSTER: &str = "_";

/// The status of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ObjectStatus {
    /// Whose.
    #[serde(skip)]
    pub(crate) id: ObjectId,
    /// The manifest's head: `apiVersion`, `kind`, `metadata`, then `status`.
    #[serde(flatten)]
    pub(crate) document: Document,
}

impl From<translate::ObjectStatus> for ObjectStatus {
    fn from(status: translate::ObjectStatus) -> Self {
        let translate::ObjectStatus { id, api_version, generation, uid, status } = status;
        let namespace = (!id.namespace.is_empty()).then(|| id.namespace.to_string());
        let metadata = Metadata { name: id.name.to_string(), namespace, uid, generation };
        let document = Document { api_version, kind: id.kind.to_string(), metadata, status };
        Self { id, document }
    }
}

/// A status file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document {
    /// `group/version`.
    pub(crate) api_version: String,
    /// `Gateway`.
    pub(crate) kind: String,
    /// Name, namespace, uid, generation.
    pub(crate) metadata: Metadata,
    /// In the CRD's shape.
    pub(crate) status: Value,
}

/// Which object, and which version of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Metadata {
    /// `metadata.name`.
    pub(crate) name: String,
    /// Missing for cluster-scoped kinds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// Missing where the manifest has none. Whoever follows statuses tells an object from its predecessor by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uid: Option<String>,
    /// Of the spec that the status is about.
    pub(crate) generation: i64,
}

/// The status directory, and what was last written to it.
#[derive(Debug)]
pub(crate) struct StatusStore {
    directory: PathBuf,
    written: BTreeMap<PathBuf, Document>,
}

impl StatusStore {
    /// Reads what an earlier process left, so that times of unchanged conditions are kept and files of vanished
    /// objects go. A file that cannot be read is as if it were not there.
    pub(crate) fn open(runtime_dir: &Path) -> Self {
        let directory = runtime_dir.join("status");
        let written = read_all(&directory).into_iter().collect();
        Self { directory, written }
    }

    /// Fills in `lastTransitionTime` and makes the directory hold exactly these: changed files are written whole
    /// and renamed, files of vanished objects are removed. Errors are logged; the first is returned.
    pub(crate) fn publish(&mut self, statuses: &mut [ObjectStatus]) -> io::Result<()> {
        let now = clock::rfc3339(clock::now());
        let mut outcome = Ok(());
        let mut keep = BTreeSet::new();
        for status in statuses {
            let Some(path) = path(&status.id) else { continue };
            let old = self.written.get(&path);
            // Another object of the same name has nothing from its predecessor.
            let same = old.filter(|old| old.metadata.uid == status.document.metadata.uid);
            transition::fill_in(&mut status.document.status, same.map(|old| &old.status), &now);
            if old != Some(&status.document) {
                let text = serde_json::to_vec_pretty(&status.document).unwrap_or_default();
                match whole_file::write(&self.directory.join(&path), &text) {
                    Ok(()) => {
                        self.written.insert(path.clone(), status.document.clone());
                    }
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
            keep.insert(path);
        }
        self.written.retain(|path, _| {
            let keep = keep.contains(path);
            if !keep && let Err(error) = fs::remove_file(self.directory.join(path)) {
                tracing::debug!(path = %path.display(), %error, "cannot remove a status file");
            }
            keep
        });
        outcome
    }
}

/// Every status file below a runtime directory, sorted by path.
pub(crate) fn read(runtime_dir: &Path) -> Vec<Document> {
    let mut all = read_all(&runtime_dir.join("status"));
    all.sort_by(|(left, _), (right, _)| left.cmp(right));
    all.into_iter().map(|(_, document)| document).collect()
}

fn read_all(directory: &Path) -> Vec<(PathBuf, Document)> {
    let mut all = Vec::new();
    for kind in names(directory) {
        for namespace in names(&directory.join(&kind)) {
            let place = Path::new(&kind).join(&namespace);
            for name in names(&directory.join(&place)) {
                let path = place.join(name);
                let document = fs::read(directory.join(&path)).ok();
                if let Some(document) = document.and_then(|text| serde_json::from_slice(&text).ok()) {
                    all.push((path, document));
                }
            }
        }
    }
    all
}

fn names(directory: &Path) -> Vec<std::ffi::OsString> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
}

/// Relative to the status directory. `None`: a name that no file can have.
fn path(id: &ObjectId) -> Option<PathBuf> {
    let kind = if id.group.is_empty() { id.kind.to_string() } else { format!("{}.{}", id.kind, id.group) };
    let namespace = if id.namespace.is_empty() { CLUSTER } else { &id.namespace };
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\0']);
    if ![&kind, namespace, &id.name].into_iter().all(plain) || id.name.len() > 250 {
        return None;
    }
    Some(Path::new(&kind).join(namespace).join(format!("{}.json", id.name)))
}

#[cfg(test)]
mod tests;
