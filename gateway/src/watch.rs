//! Notices changes in the configuration directory, at once.

mod tree;

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use nix::{
    errno::Errno,
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor},
};
use tree::{Place, Tree};

/// Watches a directory tree, what its links lead to, and which files are being written.
///
/// Everything waits in the kernel's queue until [`Watch::take`] is called, so that whatever happens during a
/// reload is one change after it.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: Inotify,
    root: PathBuf,
    places: HashMap<WatchDescriptor, Place>,
    busy: BTreeSet<PathBuf>,
    /// Written to since the last call of [`Watch::take`]: what was read of it meanwhile may be half of it.
    touched: BTreeSet<PathBuf>,
    /// A change that was noticed while reading, for the next [`Watch::take`].
    pending: bool,
    complained: bool,
}

/// What one event means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Effect {
    /// There is something to read.
    changed: bool,
    /// Directories or links are others than before.
    moved: bool,
}

impl Watch {
    /// Begins to watch. Fails where the kernel has no inotify instance left for this user.
    pub(crate) fn start(root: &Path) -> Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .context("cannot watch files: no inotify instance (see fs.inotify.max_user_instances)")?;
        let mut watch = Self {
            inotify,
            root: root.to_owned(),
            places: HashMap::new(),
            busy: BTreeSet::new(),
            touched: BTreeSet::new(),
            pending: false,
            complained: false,
        };
        watch.list();
        Ok(watch)
    }

    /// True if there is something to read since the last call. Does not wait.
    pub(crate) fn take(&mut self) -> bool {
        self.drain();
        self.touched.clear();
        std::mem::take(&mut self.pending)
    }

    /// Whether what has just been read from a file may be half of what its writer means: somebody has written
    /// to it since the last [`Watch::take`], or has not closed it yet. The kernel queues the event before the
    /// write returns, so asking after reading misses nothing.
    pub(crate) fn is_half_written(&mut self, path: &Path) -> bool {
        self.drain();
        if self.busy.is_empty() && self.touched.is_empty() {
            return false;
        }
        fs::canonicalize(path).is_ok_and(|real| self.busy.contains(&real) || self.touched.contains(&real))
    }

    fn drain(&mut self) {
        let mut moved = false;
        loop {
            match self.inotify.read_events() {
                Ok(events) => {
                    for event in events {
                        let effect = self.note(&event);
                        self.pending |= effect.changed;
                        moved |= effect.moved;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) if moved => {
                    // New directories are watched before anybody reads them; what has come meanwhile is next.
                    moved = false;
                    self.list();
                }
                Err(Errno::EAGAIN) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot read what has changed; the slow poll goes on");
                    return;
                }
            }
        }
    }

    /// Files that have been modified and not closed since: their real paths.
    pub(crate) fn busy(&self) -> &BTreeSet<PathBuf> {
        &self.busy
    }

    /// Looks at the whole tree again, and believes no file to be half written.
    pub(crate) fn start_afresh(&mut self) {
        self.busy.clear();
        self.list();
    }

    fn list(&mut self) {
        let mut tree = Tree::new(&self.inotify);
        tree.add_root(&self.root);
        for error in tree.errors.iter().filter(|_| !self.complained) {
            tracing::warn!("{error}; changes there are found by the slow poll only");
        }
        self.complained = !tree.errors.is_empty();
        for descriptor in self.places.keys().filter(|old| !tree.places.contains_key(old)) {
            let _ = self.inotify.rm_watch(*descriptor);
        }
        self.places = tree.places;
    }

    fn note(&mut self, event: &InotifyEvent) -> Effect {
        const NOTHING: Effect = Effect { changed: false, moved: false };
        const CHANGED: Effect = Effect { changed: true, moved: false };
        const MOVED: Effect = Effect { changed: true, moved: true };
        let mask = event.mask;
        if mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            tracing::warn!("too many changes at once: reading everything again");
            self.busy.clear();
            return MOVED;
        }
        let Some(place) = self.places.get(&event.wd) else { return NOTHING };
        let Some(name) = &event.name else {
            let gone =
                AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_UNMOUNT;
            return if mask.intersects(gone) { MOVED } else { NOTHING };
        };
        if !place.concerns(name) || is_hidden(name.as_bytes()) {
            return NOTHING;
        }
        let path = place.directory.join(name);
        if mask.contains(AddWatchFlags::IN_ISDIR) {
            return MOVED;
        }
        if mask.contains(AddWatchFlags::IN_MODIFY) {
            self.touched.insert(path.clone());
            self.busy.insert(path);
            return NOTHING;
        }
        if mask.contains(AddWatchFlags::IN_CREATE) && is_being_made(&path) {
            self.busy.insert(path);
            return NOTHING;
        }
        if !mask.contains(AddWatchFlags::IN_ATTRIB) {
            self.busy.remove(&path);
        }
        if path.is_symlink() { MOVED } else { CHANGED }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// A dot file; but `..data` and what it leads to is how a kubelet swaps a whole directory.
fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.') && name.get(1) != Some(&b'.')
}

/// A new and empty file that has one name: whoever made it is about to write, and will close it. (A hard link
/// or a file that was made without a name is complete when it appears, and nobody closes it.)
fn is_being_made(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0 && file.nlink() == 1)
}

#[cfg(test)]
mod tests;
