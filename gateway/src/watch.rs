//! Notices changes in the configuration directory, at once.
//!
//! `notify` reads the kernel's queue on a thread of its own and leaves what it finds in the [`Inbox`], which wakes
//! whoever polls the [`Watch`]. Where it matters that nothing is still on its way, a [`Fence`] is passed: when a
//! change is taken, and when it is asked which of the files that were read because of it may be half written. That
//! is asked after the last of them was read, so that one fence does for them all; one that was passed before a file
//! was read would say nothing of it, as somebody may have begun to write to it meanwhile. (Files that did not change
//! are not read, and nobody asks for them.) An idle process passes none.

mod fence;
mod inbox;
mod place;
mod tree;

use std::{
    collections::BTreeSet,
    fs,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use fence::Fence;
use inbox::{Happened, Inbox, Note};
use notify::RecommendedWatcher;
use place::Places;
use tree::Tree;

/// Below the runtime directory, with the process's number: the service may write there, nobody else does, and where it is
/// in memory, as under systemd, passing a fence writes to no disk.
const COOKIES: &str = "fence-";

/// Watches a directory tree, what its links lead to, and which files are being written.
///
/// Everything waits in the inbox until [`Watch::take`] is called, so that whatever happens during a reload is one
/// change after it. The descriptor is readable when there may be something to take.
#[derive(Debug)]
pub(crate) struct Watch {
    fence: Fence,
    watcher: RecommendedWatcher,
    inbox: Arc<Inbox>,
    root: PathBuf,
    places: Places,
    busy: BTreeSet<PathBuf>,
    /// Written to since the last call of [`Watch::take`]: what was read of it meanwhile may be half of it.
    touched: BTreeSet<PathBuf>,
    /// A change that was noticed while reading, for the next [`Watch::take`].
    pending: bool,
    complained: bool,
    deaf: bool,
}

/// What one note means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Effect {
    /// There is something to read.
    changed: bool,
    /// Directories or links are others than before.
    moved: bool,
}

const NOTHING: Effect = Effect { changed: false, moved: false };
const CHANGED: Effect = Effect { changed: true, moved: false };
const MOVED: Effect = Effect { changed: true, moved: true };

impl Watch {
    /// Begins to watch. `runtime_dir` is for what the watch itself needs. Fails where the kernel has no inotify
    /// instance left for this user, or tells nothing of the runtime directory.
    pub(crate) fn start(root: &Path, runtime_dir: &Path) -> Result<Self> {
        let runtime_dir = fs::canonicalize(runtime_dir)
            .with_context(|| format!("cannot find the runtime directory {}", runtime_dir.display()))?;
        let cookies = cookies(&runtime_dir);
        let inbox = Inbox::new(cookies.clone()).context("cannot watch files: no eventfd")?;
        let inbox = Arc::new(inbox);
        let received = Arc::clone(&inbox);
        let watcher = notify::recommended_watcher(move |event| received.receive(event))
            .context("cannot watch files: no inotify instance (see fs.inotify.max_user_instances)")?;
        let mut watch = Self {
            fence: Fence::new(cookies),
            watcher,
            inbox,
            root: root.to_owned(),
            places: Places::default(),
            busy: BTreeSet::new(),
            touched: BTreeSet::new(),
            pending: false,
            complained: false,
            deaf: false,
        };
        watch.fence.raise(&mut watch.watcher).context("cannot watch files")?;
        watch.fence.pass(&watch.inbox).context("cannot watch files")?;
        watch.list();
        Ok(watch)
    }

    /// True if something to read has happened between the last call and this one, or if that cannot be known.
    /// Waits for the thread of `notify`, but not for a change.
    pub(crate) fn take(&mut self) -> bool {
        self.catch_up();
        self.inbox.quiet();
        self.drain();
        self.touched.clear();
        std::mem::take(&mut self.pending)
    }

    /// Which of the files that have just been read may be half of what their writers mean, in order: somebody has
    /// written to them since the last [`Watch::take`], or has not closed them yet. The kernel queues the event
    /// before the write returns, and a fence is passed after the reading, so asking after reading misses nothing.
    /// All of them, if the fence cannot be passed: better old than half.
    pub(crate) fn half_written(&mut self, paths: &[&Path]) -> Vec<bool> {
        self.catch_up();
        self.drain();
        if self.busy.is_empty() && self.touched.is_empty() {
            return vec![self.deaf; paths.len()];
        }
        let half = |path: &&Path| {
            self.deaf
                || fs::canonicalize(path)
                    .is_ok_and(|real| self.busy.contains(&real) || self.touched.contains(&real))
        };
        paths.iter().map(half).collect()
    }

    /// Files that have been modified and not closed since: their real paths.
    pub(crate) fn busy(&self) -> &BTreeSet<PathBuf> {
        &self.busy
    }

    /// Looks at the whole tree again, and believes no file to be half written.
    pub(crate) fn start_afresh(&mut self) {
        if self.deaf
            && let Err(error) = self.fence.raise(&mut self.watcher)
        {
            tracing::error!("changes are still not noticed reliably: {error:#}");
        }
        self.drain();
        self.busy.clear();
        self.touched.clear();
        self.list();
    }

    /// Returns once all that has happened before the call is in the inbox.
    fn catch_up(&mut self) {
        match self.fence.pass(&self.inbox) {
            Ok(()) => self.deaf = false,
            Err(error) => {
                if !self.deaf {
                    tracing::error!(
                        "cannot tell what has changed up to now: {error:#}; files that are read now stay as they \
                         were until the slow poll"
                    );
                }
                self.deaf = true;
                self.pending = true;
            }
        }
    }

    fn drain(&mut self) {
        loop {
            let mut moved = false;
            for note in self.inbox.take() {
                let effect = self.note(note);
                self.pending |= effect.changed;
                moved |= effect.moved;
            }
            if !moved {
                return;
            }
            // New directories are watched before anybody reads them; what has come meanwhile is next.
            self.list();
        }
    }

    fn list(&mut self) {
        let mut tree = Tree::new(&mut self.watcher, std::mem::take(&mut self.places));
        tree.add_root(&self.root);
        let (places, errors) = tree.finish();
        for error in errors.iter().filter(|_| !self.complained) {
            tracing::warn!("{error}; changes there are found by the slow poll only");
        }
        self.complained = !errors.is_empty();
        self.places = places;
    }

    fn note(&mut self, note: Note) -> Effect {
        match note {
            Note::Overflow => {
                tracing::warn!("too many changes at once: reading everything again");
                self.busy.clear();
                MOVED
            }
            Note::At(path, happened) => self.note_at(path, happened),
        }
    }

    fn note_at(&mut self, path: PathBuf, happened: Happened) -> Effect {
        // A watched directory: told by its parent or by itself, which cannot be told apart and is the same to us.
        let directory = matches!(happened, Happened::Renamed | Happened::Removed | Happened::Attributes);
        if directory && self.places.at(&path).is_some() {
            return MOVED;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return NOTHING };
        if !self.places.at(parent).is_some_and(|place| place.concerns(name)) {
            return NOTHING;
        }
        if happened == Happened::Written {
            self.touched.insert(path.clone());
            self.busy.insert(path);
            return NOTHING;
        }
        let now = fs::symlink_metadata(&path).ok();
        if happened == Happened::Created && now.as_ref().is_some_and(is_being_made) {
            self.busy.insert(path);
            return NOTHING;
        }
        if happened != Happened::Attributes {
            self.busy.remove(&path);
        }
        match now {
            Some(now) if now.is_dir() || now.is_symlink() => MOVED,
            _ => CHANGED,
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inbox.as_fd()
    }
}

/// A place of this process's own: over an upgrade there are two that watch. What processes that were killed have left is
/// removed.
fn cookies(runtime_dir: &Path) -> PathBuf {
    for entry in fs::read_dir(runtime_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(COOKIES)?.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new("/proc").join(process.to_string()).exists()) {
            drop(Fence::new(entry.path()));
        }
    }
    runtime_dir.join(format!("{COOKIES}{}", std::process::id()))
}

/// A new and empty file that has one name: whoever made it is about to write, and will close it. (A hard link
/// or a file that was made without a name is complete when it appears, and nobody closes it.)
fn is_being_made(file: &fs::Metadata) -> bool {
    file.is_file() && file.len() == 0 && file.nlink() == 1
}

#[cfg(test)]
mod tests;
