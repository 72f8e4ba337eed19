use std::{
    collections::HashSet,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::place::{Id, Place, Places, id};

/// Links that are followed one after another before it is called a loop, as in the kernel.
const MAX_LINKS: usize = 40;

/// Directories below the root and, by links, outside; deeper is not looked at.
const MAX_DEPTH: usize = 64;

/// One walk over the tree; each directory is watched before it is read: `notify` answers once the kernel has.
///
/// Every directory is watched again, as if it never had been: what `notify` was told by an event, that a
/// directory has gone or was renamed, ends its watch, even if there is a directory with that path by now. (That
/// event is noted before and the walk comes after, as it is one thread that hands over events, ends watches and
/// is asked for new ones.)
pub(super) struct Tree<'a> {
    watcher: &'a mut RecommendedWatcher,
    old: Places,
    new: Places,
    errors: Vec<String>,
    seen: HashSet<Id>,
}

impl<'a> Tree<'a> {
    /// `old` is what an earlier walk has watched.
    pub(super) fn new(watcher: &'a mut RecommendedWatcher, old: Places) -> Self {
        Self { watcher, old, new: Places::default(), errors: Vec::new(), seen: HashSet::new() }
    }

    /// Watches the tree, and the name of its root.
    pub(super) fn add_root(&mut self, root: &Path) {
        self.add_chain(root);
        self.add_directory(root, 0);
    }

    /// Lets go of what is no longer in the tree. What is watched, and what could not be.
    pub(super) fn finish(self) -> (Places, Vec<String>) {
        for path in self.old.into_paths() {
            // It may be gone, and its watch with it.
            let _ = self.watcher.unwatch(&path);
        }
        (self.new, self.errors)
    }

    fn add_directory(&mut self, path: &Path, depth: usize) {
        let Ok(metadata) = fs::metadata(path) else { return };
        // A link may lead to a directory that is already being walked.
        if depth > MAX_DEPTH || !metadata.is_dir() || !self.seen.insert(id(&metadata)) {
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
        let (real, id) = match real(directory) {
            Ok(found) => found,
            Err(error) => return self.errors.push(format!("cannot find {}: {error}", directory.display())),
        };
        if let Some(place) = self.new.of(id) {
            return place.add(name);
        }
        self.let_go_of_others(&real, id);
        match self.watcher.watch(&real, RecursiveMode::NonRecursive) {
            Ok(()) => {
                self.old.remove(&real);
                let mut place = Place::default();
                place.add(name);
                self.new.insert(real, id, place);
            }
            Err(error) => {
                self.errors.push(format!("cannot watch {}: {}", directory.display(), reason(&error)));
            }
        }
    }

    /// Before a directory is watched: ends the watch of another one that had its path, and the directory's own
    /// by an earlier path, as ending it later would end the new one.
    fn let_go_of_others(&mut self, real: &Path, id: Id) {
        let earlier = self.old.path_of(id).map(Path::to_owned);
        let other = self.old.id_at(real).filter(|other| *other != id).map(|_| real.to_owned());
        for path in earlier.filter(|path| path != real).into_iter().chain(other) {
            if self.old.remove(&path) {
                let _ = self.watcher.unwatch(&path);
            }
        }
    }
}

fn real(directory: &Path) -> io::Result<(PathBuf, Id)> {
    let real = fs::canonicalize(directory)?;
    let metadata = fs::metadata(&real)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok((real, id(&metadata)))
}

fn reason(error: &notify::Error) -> String {
    match &error.kind {
        ErrorKind::Io(error) => error.to_string(),
        ErrorKind::MaxFilesWatch => "no watch is left (see fs.inotify.max_user_watches)".to_owned(),
        ErrorKind::PathNotFound => "it has just gone".to_owned(),
        other => format!("{other:?}"),
    }
}
