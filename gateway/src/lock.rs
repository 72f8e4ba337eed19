use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Seek, Write},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

use anyhow::{Context, Result, bail};

const NAME: &str = "lock";

/// Holds the runtime directory: one appliance at a time. The kernel lets go of it when the process ends, and all that it
/// was shared with.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Makes the directory if it is missing and takes it, or says whose it is.
    pub(crate) fn take(runtime_dir: &Path) -> Result<Self> {
        fs::create_dir_all(runtime_dir)
            .with_context(|| format!("cannot make the runtime directory {}", runtime_dir.display()))?;
        let path = runtime_dir.join(NAME);
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                bail!(
                    "the runtime directory {} is in use by another gateway (process {}); stop it, or give this one a \
                     --runtime-dir of its own",
                    runtime_dir.display(),
                    holder.trim(),
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let mut lock = Self { file };
        lock.sign().with_context(|| format!("cannot write {}", path.display()))?;
        Ok(lock)
    }

    /// The one that a predecessor holds: it is held until both have ended.
    pub(crate) fn inherit(file: File) -> Self {
        Self { file }
    }

    /// Says that this process is the holder.
    pub(crate) fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }

    /// The process that holds the directory; `None`: nobody does.
    pub(crate) fn holder(runtime_dir: &Path) -> Option<i32> {
        let text = Self::is_held(runtime_dir).then(|| fs::read_to_string(runtime_dir.join(NAME)).ok())??;
        text.trim().parse().ok()
    }

    /// True while a gateway holds the directory.
    pub(crate) fn is_held(runtime_dir: &Path) -> bool {
        let Ok(file) = File::open(runtime_dir.join(NAME)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

    #[test]
    fn what_was_inherited_is_held_until_both_have_ended() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = Lock::take(directory.path()).expect("free");
        let mut second = Lock::inherit(first.file.try_clone().expect("a second descriptor"));
        drop(first);
        second.sign().expect("written");
        let text = std::fs::read_to_string(directory.path().join(super::NAME)).expect("it is there");
        assert_eq!(text, format!("{}\n", std::process::id()));
        Lock::take(directory.path()).expect_err("it is held");
        drop(second);
        Lock::take(directory.path()).expect("free again");
    }

    #[test]
    fn a_second_holder_is_refused_and_told_whose_it_is() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert!(!Lock::is_held(directory.path()));
        let held = Lock::take(directory.path()).expect("free");
        assert!(Lock::is_held(directory.path()));
        let refused = Lock::take(directory.path()).expect_err("taken").to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(held);
        Lock::take(directory.path()).expect("free again");
    }
}
