use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::sys::inotify::{AddWatchFlags, Inotify, WatchDescriptor};

/// Links that are followed one after another before it is called a loop, as in the kernel.
const MAX_LINKS: usize = 40;

/// Directories below the root and, by links, outside; deeper is not looked at.
const MAX_DEPTH: usize = 64;

/// A watched directory.
#[derive(Debug)]
pub(super) struct Place {
    /// Its real path.
    pub(super) directory: PathBuf,
    /// `None`: all that happens in it matters. Else: it is outside the tree, and these names in it matter.
    names: Option<BTreeSet<OsString>>,
}

impl Place {
    /// Whether something with this name matters.
    pub(super) fn concerns(&self, name: &OsStr) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// One walk over the tree; each directory is watched before it is read.
pub(super) struct Tree<'a> {
    inotify: &'a Inotify,
    /// What is watched.
    pub(super) places: HashMap<WatchDescriptor, Place>,
    /// What could not be.
    pub(super) errors: Vec<String>,
    seen: HashSet<(u64, u64)>,
}

impl<'a> Tree<'a> {
    /// An empty one.
    pub(super) fn new(inotify: &'a Inotify) -> Self {
        Self { inotify, places: HashMap::new(), errors: Vec::new(), seen: HashSet::new() }
    }

    /// Watches the tree, and the name of its root.
    pub(super) fn add_root(&mut self, root: &Path) {
        self.add_chain(root);
        self.add_directory(root, 0);
    }

    fn add_directory(&mut self, path: &Path, depth: usize) {
        let Ok(metadata) = fs::metadata(path) else { return };
        // A link may lead to a directory that is already being walked.
        if depth > MAX_DEPTH || !metadata.is_dir() || !self.seen.insert((metadata.dev(), metadata.ino())) {
            return;
        }
        self.watch(path, None);
        let Ok(entries) = fs::read_dir(path) else { return };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            let path = entry.path();
            if kind.is_symlink() {
                self.add_chain(&path);
            }
            if kind.is_dir() || kind.is_symlink() {
                self.add_directory(&path, depth + 1);
            }
        }
    }

    /// Watches the name of a path and of each link that it leads through, up to what is no link.
    fn add_chain(&mut self, path: &Path) {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            self.watch(parent, Some(name));
            let Ok(target) = fs::read_link(&path) else { return };
            path = parent.join(target);
        }
    }

    fn watch(&mut self, directory: &Path, name: Option<&OsStr>) {
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        let real = match fs::canonicalize(directory) {
            Ok(real) => real,
            Err(error) => return self.errors.push(format!("cannot find {}: {error}", directory.display())),
        };
        match self.inotify.add_watch(&real, flags) {
            Ok(descriptor) => {
                let place = self
                    .places
                    .entry(descriptor)
                    .or_insert_with(|| Place { directory: real, names: Some(BTreeSet::new()) });
                match (name, &mut place.names) {
                    (None, names) => *names = None,
                    (Some(name), Some(names)) => {
                        names.insert(name.to_owned());
                    }
                    (Some(_), None) => {}
                }
            }
            Err(error) => self.errors.push(format!("cannot watch {}: {error}", directory.display())),
        }
    }
}
