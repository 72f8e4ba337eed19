//! One file per object: `{runtime-dir}/status/KIND.GROUP/NAMESPACE/NAME.json`, in the shape that an API server
//! would show. A cluster-scoped object has `_` for its namespace (no namespace has that name), a core kind has
//! no `.GROUP`.

mod transition;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use manifest::ObjectId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{clock, whole_file};

/// The kinds over whose statuses something is laid.
const LAID_OVER: [&str; 2] = ["Gateway", "ListenerSet"];

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

impl From<&translate::ObjectStatus> for ObjectStatus {
    fn from(status: &translate::ObjectStatus) -> Self {
        let translate::ObjectStatus { id, api_version, generation, uid, status } = status.clone();
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

impl ObjectStatus {
    /// False for a name that no file can have.
    fn has_file(&self) -> bool {
        path(&self.id).is_some()
    }
}

impl Document {
    /// Whose status it is.
    fn id(&self) -> ObjectId {
        let group = self.api_version.split_once('/').map_or("", |(group, _)| group);
        ObjectId {
            kind: self.kind.as_str().into(),
            group: group.into(),
            namespace: self.metadata.namespace.as_deref().unwrap_or_default().into(),
            name: self.metadata.name.as_str().into(),
        }
    }
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
    written: HashMap<ObjectId, Written>,
    /// Files that an earlier process has left and that are no object's.
    strays: Vec<PathBuf>,
    rounds: u64,
}

/// What stands in a file.
#[derive(Debug)]
struct Written {
    status: Arc<ObjectStatus>,
    /// What it was made of, if nothing was laid over that. As long as translation gives the very same, the file is right.
    source: Option<Arc<translate::ObjectStatus>>,
    /// In which round it was asked for.
    round: u64,
}

impl StatusStore {
    /// Reads what an earlier process left, so that times of unchanged conditions are kept and files of vanished
    /// objects go. A file that cannot be read is as if it were not there.
    pub(crate) fn open(runtime_dir: &Path) -> Self {
        let directory = runtime_dir.join("status");
        let (mut written, mut strays) = (HashMap::new(), Vec::new());
        for (found, document) in read_all(&directory) {
            let id = document.id();
            if path(&id).as_ref() == Some(&found) {
                let status = Arc::new(ObjectStatus { id: id.clone(), document });
                drop(written.insert(id, Written { status, source: None, round: 0 }));
            } else {
                strays.push(found);
            }
        }
        Self { directory, written, strays, rounds: 0 }
    }

    /// Fills in `lastTransitionTime` and makes the directory hold exactly these: changed files are written whole
    /// and renamed, files of vanished objects are removed. `lay_over` says what this machine has shown of an object, and
    /// whether there is anything. Gives what is shown now; errors are logged, and the first is returned.
    pub(crate) fn publish(
        &mut self,
        statuses: &[Arc<translate::ObjectStatus>],
        lay_over: impl Fn(&mut ObjectStatus) -> bool,
    ) -> (Vec<Arc<ObjectStatus>>, io::Result<()>) {
        let now = clock::rfc3339(clock::now());
        self.rounds += 1;
        let mut outcome = Ok(());
        let mut shown = Vec::with_capacity(statuses.len());
        for source in statuses {
            // What is bound is the machine's to say, and may be other than before.
            if !LAID_OVER.contains(&&*source.id.kind)
                && let Some(written) = self.written.get_mut(&source.id)
                && written.source.as_ref().is_some_and(|known| Arc::ptr_eq(known, source))
            {
                written.round = self.rounds;
                shown.push(Arc::clone(&written.status));
                continue;
            }
            let mut status = ObjectStatus::from(&**source);
            let is_laid_over = lay_over(&mut status);
            let (status, written) = self.write(status, &now);
            let kept = written.is_ok() && status.has_file();
            outcome = outcome.and(written);
            if kept {
                let source = (!is_laid_over).then(|| Arc::clone(source));
                let written = Written { status: Arc::clone(&status), source, round: self.rounds };
                self.written.insert(status.id.clone(), written);
            }
            shown.push(status);
        }
        self.remove_the_rest();
        (shown, outcome)
    }

    /// Writes a status, unless the file has it.
    fn write(&self, mut status: ObjectStatus, now: &str) -> (Arc<ObjectStatus>, io::Result<()>) {
        let Some(path) = path(&status.id) else { return (Arc::new(status), Ok(())) };
        let old = self.written.get(&status.id).map(|written| &written.status);
        // Another object of the same name has nothing from its predecessor.
        let same = old.filter(|old| old.document.metadata.uid == status.document.metadata.uid);
        transition::fill_in(&mut status.document.status, same.map(|old| &old.document.status), now);
        if let Some(old) = old.filter(|old| old.document == status.document) {
            return (Arc::clone(old), Ok(()));
        }
        let text = serde_json::to_vec_pretty(&status.document).unwrap_or_default();
        (Arc::new(status), whole_file::write(&self.directory.join(&path), &text))
    }

    fn remove_the_rest(&mut self) {
        let (directory, rounds) = (&self.directory, self.rounds);
        let remove = |path: &Path| {
            if let Err(error) = fs::remove_file(directory.join(path)) {
                tracing::debug!(path = %path.display(), %error, "cannot remove a status file");
            }
        };
        self.strays.drain(..).for_each(|path| remove(&path));
        self.written.retain(|id, written| {
            let keep = written.round == rounds;
            if !keep && let Some(path) = path(id) {
                remove(&path);
            }
            keep
        });
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
