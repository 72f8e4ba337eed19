use std::{fmt, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

/// What must outlive the process: when objects were first seen, their counted generations and their last good
/// texts. Holds Secrets that stand in manifests: keep it where only the service can read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoaderState {
    /// Sorted by name.
    pub objects: Vec<StoredObject>,
}

/// One object of a [`LoaderState`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredObject {
    /// The file that it stands in, relative to the configuration directory.
    pub file: Arc<Path>,
    /// Its kind.
    pub kind: Arc<str>,
    /// Its group; empty for the core group.
    pub group: Arc<str>,
    /// Its namespace; empty for cluster-scoped kinds.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Seconds since 1970.
    pub first_seen: i64,
    /// Counted: one more with each change.
    pub generation: i64,
    /// Digest of what `generation` counts.
    pub digest: u64,
    /// Its last good text, as JSON.
    pub document: Option<Arc<str>>,
}

/// The text may be a Secret's: it is not printed.
impl fmt::Debug for StoredObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, kind, namespace, name, generation, .. } = self;
        write!(f, "{kind} {namespace}/{name} of {} at generation {generation}", file.display())
    }
}
