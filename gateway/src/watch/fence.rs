use std::{
    fs::{self, DirBuilder, File},
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use super::inbox::{Arrival, Inbox};

/// The thread of `notify` takes microseconds; one that was not run for this long is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells when all that had happened before now has reached the inbox.
///
/// The kernel queues an event before the call that caused it returns, one inotify instance has one queue, and
/// one thread hands over what is in it, in order. So a file of our own, in a directory that the same instance
/// watches, is given a new name, the next number; once that name has come through, so has all that was before.
/// Renaming costs two events and leaves nothing behind, and a number that came too late is not taken for the
/// next one.
#[derive(Debug)]
pub(super) struct Fence {
    directory: PathBuf,
    number: u64,
    late: bool,
}

impl Fence {
    /// Of a directory that nobody else uses; [`Fence::raise`] makes it.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, number: 0, late: false }
    }

    /// Makes the directory and the file in it, and watches it; once more, if one or the other was lost.
    pub(super) fn raise(&mut self, watcher: &mut RecommendedWatcher) -> Result<()> {
        let shown = self.directory.display();
        match DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot make {shown}"));
            }
            _ => {}
        }
        self.clear();
        let file = self.file(self.number);
        File::create(&file).with_context(|| format!("cannot make {}", file.display()))?;
        // The directory that was watched under this name may be another one.
        let _ = watcher.unwatch(&self.directory);
        watcher
            .watch(&self.directory, RecursiveMode::NonRecursive)
            .with_context(|| format!("cannot watch {shown}"))?;
        self.late = false;
        Ok(())
    }

    /// Returns once what had happened before the call is in the inbox. After an error it does not wait again
    /// until what it waited for has come, or the fence is raised again.
    pub(super) fn pass(&mut self, inbox: &Inbox) -> Result<()> {
        if self.late && inbox.cookie() < self.number {
            bail!("the thread that reads the kernel's queue still does not answer");
        }
        self.late = false;
        let end = Instant::now() + PATIENCE;
        loop {
            let overflows = inbox.overflows();
            let (old, new) = (self.file(self.number), self.file(self.number + 1));
            fs::rename(&old, &new).with_context(|| format!("cannot rename {}", old.display()))?;
            self.number += 1;
            match inbox.wait_for(self.number, overflows, end.saturating_duration_since(Instant::now())) {
                Arrival::Here => return Ok(()),
                Arrival::Lost => {}
                Arrival::Late => {
                    self.late = true;
                    bail!(
                        "the thread that reads the kernel's queue does not answer: is the host overloaded?"
                    );
                }
            }
        }
    }

    fn file(&self, number: u64) -> PathBuf {
        self.directory.join(number.to_string())
    }

    /// Removes what a fence has left here, and nothing else.
    fn clear(&self) {
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            if is_number(Path::new(&entry.file_name())) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn is_number(name: &Path) -> bool {
    name.to_str().is_some_and(|name| name.parse::<u64>().is_ok())
}

impl Drop for Fence {
    fn drop(&mut self) {
        self.clear();
        let _ = fs::remove_dir(&self.directory);
    }
}
