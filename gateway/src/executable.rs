use std::{
    env,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// What the service manager tells this process and no other.
const OURS: [&str; 4] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// The path that this process was started from, and its arguments: what is there by the time of an upgrade may be
/// another file.
#[derive(Clone, Debug)]
pub(crate) struct Executable {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Executable {
    /// Of this process. To be asked at its start: the kernel's own answer is of no use once the file is replaced.
    pub(crate) fn of_this_process() -> Result<Self> {
        let running = env::current_exe().context("cannot find the file that this process runs")?;
        let mut arguments = env::args_os();
        // As it was named, so that a link is followed again, unless that names something else.
        let named = arguments.next().map(PathBuf::from).filter(|name| name.parent() != Some(Path::new("")));
        let named = named.and_then(|name| std::path::absolute(name).ok()).filter(|name| same(name, &running));
        Ok(Self { path: named.unwrap_or(running), arguments: arguments.collect() })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same once more, with the environment of this process.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments);
        for name in OURS {
            command.env_remove(name);
        }
        command
    }
}

fn same(left: &Path, right: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
    matches!((id(left), id(right)), (Ok(left), Ok(right)) if left == right)
}
