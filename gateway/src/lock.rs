use std::{
    fs::{self, File, TryLockError},
    io::{Read, Write},
    path::Path,
};

use anyhow::{Context, Result, bail};

const NAME: &str = "lock";

/// Holds the runtime directory: one appliance at a time. The kernel lets go of it when the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
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
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { _file: file })
    }

    /// True while a gateway holds the directory.
    pub(crate) fn is_held(runtime_dir: &Path) -> bool {
        let Ok(file) = File::open(runtime_dir.join(NAME)) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }
}

#[cfg(test)]
mod tests {
    use super::Lock;

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
