use std::{
    collections::HashSet,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::sys::eventfd::{EfdFlags, EventFd};
use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

/// More notes than this are as good as none, as with the kernel's own queue (fs.inotify.max_queued_events).
const MOST: usize = 16384;

/// Something that may matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Anything may have happened.
    Overflow,
    /// This has.
    At(PathBuf, Happened),
}

/// What has happened to a name, or to a watched directory itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happened {
    /// It is new.
    Created,
    /// What it holds is other than before, and will be closed.
    Written,
    /// Somebody who could write to it has closed it.
    Closed,
    /// It came, or went.
    Renamed,
    /// It is gone.
    Removed,
    /// Modes, owners, times, number of names.
    Attributes,
}

impl Happened {
    /// `None` for what changes nothing. That somebody opens a file is told too, which happens whenever it is
    /// read: by ourselves, for one. The two ends of a rename are told one by one before they are told together.
    fn of(kind: EventKind) -> Option<Self> {
        match kind {
            EventKind::Create(_) => Some(Self::Created),
            EventKind::Remove(_) => Some(Self::Removed),
            EventKind::Modify(ModifyKind::Data(_)) => Some(Self::Written),
            EventKind::Modify(ModifyKind::Name(RenameMode::From | RenameMode::To)) => Some(Self::Renamed),
            EventKind::Modify(ModifyKind::Metadata(_)) => Some(Self::Attributes),
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Self::Closed),
            _ => None,
        }
    }
}

/// How waiting for a cookie has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It came.
    Here,
    /// Events were lost, and it may have been among them.
    Lost,
    /// It did not come in time.
    Late,
}

/// What the thread of `notify` hands over, in the order in which the kernel queued it. Readable, as a
/// descriptor, once there may be a reason to look at files: that one is being written is none.
#[derive(Debug)]
pub(super) struct Inbox {
    cookies: PathBuf,
    content: Mutex<Content>,
    arrived: Condvar,
    ready: EventFd,
}

#[derive(Debug, Default)]
struct Content {
    notes: Vec<Note>,
    /// Paths whose last note is [`Happened::Written`]: one of many is enough.
    written: HashSet<PathBuf>,
    cookie: u64,
    overflows: u64,
    failed: bool,
}

impl Inbox {
    /// An empty one. What happens in the directory `cookies` is not for notes.
    pub(super) fn new(cookies: PathBuf) -> nix::Result<Self> {
        let ready = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { cookies, content: Mutex::default(), arrived: Condvar::new(), ready })
    }

    /// Takes in what `notify` tells.
    pub(super) fn receive(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.overflow(),
            Ok(event) => {
                let Some(path) = event.paths.into_iter().next() else { return };
                if path.starts_with(&self.cookies) {
                    self.receive_cookie(event.kind, &path);
                } else if let Some(happened) = Happened::of(event.kind) {
                    self.push(path, happened);
                }
            }
            Err(error) => {
                let before = std::mem::replace(&mut self.content().failed, true);
                if !before {
                    tracing::error!(%error, "cannot read what has changed; the slow poll goes on");
                }
            }
        }
    }

    /// Empties it, in order.
    pub(super) fn take(&self) -> Vec<Note> {
        let mut content = self.content();
        content.written.clear();
        std::mem::take(&mut content.notes)
    }

    /// Not readable until the next reason to look at files. Before [`Inbox::take`], so that none is passed over.
    pub(super) fn quiet(&self) {
        let _ = self.ready.read();
    }

    /// How often events have been lost.
    pub(super) fn overflows(&self) -> u64 {
        self.content().overflows
    }

    /// The last cookie that came.
    pub(super) fn cookie(&self) -> u64 {
        self.content().cookie
    }

    /// Waits until a cookie comes, or events are lost other than those counted before it was sent.
    pub(super) fn wait_for(&self, cookie: u64, overflows: u64, patience: Duration) -> Arrival {
        let outstanding = |content: &mut Content| content.cookie < cookie && content.overflows == overflows;
        let waited = self.arrived.wait_timeout_while(self.content(), patience, outstanding);
        let (content, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match content.cookie >= cookie {
            true => Arrival::Here,
            false if content.overflows != overflows => Arrival::Lost,
            false => Arrival::Late,
        }
    }

    /// Notes that events were lost.
    pub(super) fn overflow(&self) {
        let mut content = self.content();
        content.overflow();
        content.overflows += 1;
        self.arrived.notify_all();
        self.wake();
    }

    fn receive_cookie(&self, kind: EventKind, path: &Path) {
        if kind != EventKind::Modify(ModifyKind::Name(RenameMode::To)) {
            return;
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(cookie) = name.and_then(|name| name.parse().ok()) else { return };
        let mut content = self.content();
        content.cookie = content.cookie.max(cookie);
        self.arrived.notify_all();
    }

    fn push(&self, path: PathBuf, happened: Happened) {
        let mut content = self.content();
        content.failed = false;
        let written = happened == Happened::Written;
        if written && content.written.contains(&path) {
            return;
        }
        let full = content.notes.len() >= MOST;
        if full {
            content.overflow();
        }
        if written {
            content.written.insert(path.clone());
        } else {
            content.written.remove(&path);
        }
        content.notes.push(Note::At(path, happened));
        if full || !written {
            self.wake();
        }
    }

    /// With the content locked: whoever empties it afterwards was told before.
    fn wake(&self) {
        // It fails only when it is readable anyhow.
        let _ = self.ready.write(1);
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn overflow(&mut self) {
        self.notes.clear();
        self.written.clear();
        self.notes.push(Note::Overflow);
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }
}
