use std::{
    collections::{BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

/// Device and inode.
pub(super) type Id = (u64, u64);

/// What a directory is, whatever it is called.
pub(super) fn id(metadata: &fs::Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}

/// A watched directory.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// All that happens in it matters, but for dot files.
    whole: bool,
    /// These names in it matter: links lead through them.
    names: BTreeSet<OsString>,
}

impl Place {
    /// From now on a name in it matters; without one, everything does.
    pub(super) fn add(&mut self, name: Option<&OsStr>) {
        match name {
            Some(name) => {
                self.names.insert(name.to_owned());
            }
            None => self.whole = true,
        }
    }

    /// Whether something with this name matters.
    pub(super) fn concerns(&self, name: &OsStr) -> bool {
        self.names.contains(name) || (self.whole && !is_hidden(name))
    }
}

/// A dot file; but `..data` and what it leads to is how a kubelet swaps a whole directory.
fn is_hidden(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.first() == Some(&b'.') && name.get(1) != Some(&b'.')
}

/// Watched directories, each by one real path: the kernel has one watch per directory and instance, and `notify`
/// knows one path for a watch.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: HashMap<PathBuf, (Id, Place)>,
    paths: HashMap<Id, PathBuf>,
}

impl Places {
    /// The directory with this path.
    pub(super) fn at(&self, path: &Path) -> Option<&Place> {
        self.places.get(path).map(|(_, place)| place)
    }

    /// Which directory had this path when it was watched.
    pub(super) fn id_at(&self, path: &Path) -> Option<Id> {
        self.places.get(path).map(|(id, _)| *id)
    }

    /// Where a directory was when it was watched.
    pub(super) fn path_of(&self, id: Id) -> Option<&Path> {
        self.paths.get(&id).map(PathBuf::as_path)
    }

    /// The directory itself, by whatever path.
    pub(super) fn of(&mut self, id: Id) -> Option<&mut Place> {
        self.places.get_mut(self.paths.get(&id)?).map(|(_, place)| place)
    }

    /// One more. There is none with this path, nor with this identity.
    pub(super) fn insert(&mut self, path: PathBuf, id: Id, place: Place) {
        self.paths.insert(id, path.clone());
        self.places.insert(path, (id, place));
    }

    /// One less; false if there was none.
    pub(super) fn remove(&mut self, path: &Path) -> bool {
        let Some((id, _)) = self.places.remove(path) else { return false };
        self.paths.remove(&id);
        true
    }

    /// The path of each.
    pub(super) fn into_paths(self) -> impl Iterator<Item = PathBuf> {
        self.places.into_keys()
    }
}
