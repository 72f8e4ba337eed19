//! `secrets/NAMESPACE/NAME/KEY` and `configmaps/NAMESPACE/NAME/KEY`: one file per key, as a kubelet mounts them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    Diagnostic, ObjectId, Origin, Severity,
    document::{Document, FileRead, is_label, is_subdomain},
    kind::{ConfigMap, Secret},
    loader::read_bytes,
    modelled::{self, Spec},
    walk::Found,
    yaml::FileError,
};

/// One directory of keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyObject {
    pub(crate) kind: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The directory, as shown in messages.
    pub(crate) shown: Arc<Path>,
}

/// Bytes of one key.
const MAX_KEY: u64 = 1 << 20;

impl KeyObject {
    /// Reads the keys. One that cannot be read leaves the whole object as it was: half a key pair is none.
    pub(crate) fn read(&self, keys: &BTreeMap<String, Result<Found, FileError>>) -> FileRead {
        let mut read = FileRead::default();
        if !is_label(&self.namespace) || !is_subdomain(&self.name) {
            let message =
                "namespace and name of the object must be lower-case letters, digits and `-` (RFC 1123)";
            self.say(&mut read, &self.shown, FileError::new(None, "InvalidName", message));
            return read;
        }
        let mut files = Vec::new();
        for (key, found) in keys {
            let file: Arc<Path> = Arc::from(self.shown.join(key));
            if !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)) {
                let message = "a key has letters, digits, `-`, `_` and `.` only";
                self.say(&mut read, &file, FileError::new(None, "InvalidName", message));
                continue;
            }
            match found.as_ref().map_err(Clone::clone).and_then(key_bytes) {
                Ok(bytes) => files.push((key.clone(), bytes)),
                Err(error) => {
                    read.broken.get_or_insert(format!("{}: {}", file.display(), error.message));
                    self.say(&mut read, &file, error);
                }
            }
        }
        if read.broken.is_none()
            && let Some(modelled) = modelled::find("", self.kind)
        {
            let spec: Spec = match self.kind {
                "Secret" => Arc::new(Secret::from_files(files)),
                _ => Arc::new(ConfigMap::from_files(files)),
            };
            read.documents.push(Arc::new(Document::of_files(self.id(), &self.shown, modelled, spec)));
        }
        read
    }

    fn id(&self) -> ObjectId {
        ObjectId {
            kind: Arc::from(self.kind),
            group: Arc::from(""),
            namespace: Arc::from(&*self.namespace),
            name: Arc::from(&*self.name),
        }
    }

    fn say(&self, read: &mut FileRead, file: &Arc<Path>, error: FileError) {
        read.diagnostics.push(Diagnostic {
            severity: Severity::Error,
            origin: Origin { file: Arc::clone(file), position: None },
            object: Some(self.id()),
            field_path: String::new(),
            reason: error.reason,
            message: error.message,
        });
    }
}

fn key_bytes(found: &Found) -> Result<Vec<u8>, FileError> {
    let too_large =
        |size| FileError::new(None, "FileTooLarge", format!("{size} bytes; a key has at most 1 MiB"));
    if found.stamp.size > MAX_KEY {
        return Err(too_large(found.stamp.size));
    }
    let bytes = read_bytes(&found.path, MAX_KEY)?;
    if bytes.len() as u64 > MAX_KEY { Err(too_large(bytes.len() as u64)) } else { Ok(bytes) }
}
