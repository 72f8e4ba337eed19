//! Which files there are, without opening any.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs::{self, Metadata},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{Diagnostic, Origin, Severity, key_dirs::KeyObject, yaml::FileError};

/// A regular file, links followed.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Where to open it.
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
}

/// What changes when a file's content does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A directory to look at, and how the files in it are called in messages.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) path: PathBuf,
    pub(crate) shown: PathBuf,
}

/// What a walk has found. Names are those shown in messages.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    pub(crate) manifests: BTreeMap<Arc<Path>, Result<Found, FileError>>,
    pub(crate) keys: BTreeMap<KeyObject, BTreeMap<String, Result<Found, FileError>>>,
    /// Directories that could not be listed: what was in them stays in force.
    pub(crate) unreadable: Vec<Arc<Path>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Real directories listed, by device and inode.
    seen: HashMap<(u64, u64), PathBuf>,
    /// Links to directories, listed after the real ones, so that a directory's own name wins.
    links: VecDeque<Root>,
}

/// Deeper than any directory that people make, so that a machine's mistake ends.
const MAX_DEPTH: usize = 32;

impl Walk {
    pub(crate) fn of(roots: &[Root]) -> Self {
        let mut walk = Self::default();
        for root in roots {
            match fs::metadata(&root.path) {
                Ok(metadata) if metadata.is_dir() => walk.top(root, &metadata),
                Err(error) if root.shown.as_os_str().is_empty() => walk.cannot_list(&root.shown, &error),
                found => walk.manifest(&root.path, &root.shown, found),
            }
        }
        while let Some(link) = walk.links.pop_front() {
            if let Ok(metadata) = fs::metadata(&link.path) {
                walk.directory(&link.path, &link.shown, &metadata, 0);
            }
        }
        walk
    }

    /// A configuration directory: its `secrets/` and `configmaps/` hold keys, not manifests.
    fn top(&mut self, root: &Root, metadata: &Metadata) {
        for (name, kind) in [("secrets", "Secret"), ("configmaps", "ConfigMap")] {
            let path = root.path.join(name);
            if let Ok(metadata) = fs::metadata(&path)
                && metadata.is_dir()
            {
                self.seen.insert((metadata.dev(), metadata.ino()), root.shown.join(name));
                self.key_directories(&path, &root.shown.join(name), kind);
            }
        }
        self.directory(&root.path, &root.shown, metadata, 0);
    }

    fn directory(&mut self, path: &Path, shown: &Path, metadata: &Metadata, depth: usize) {
        if let Some(first) = self.seen.insert((metadata.dev(), metadata.ino()), shown.to_owned()) {
            let keys = ["secrets", "configmaps"].iter().any(|name| shown.ends_with(name));
            if first != shown || !keys {
                let message = format!("leads to {}, which is read already", name_of(&first));
                self.say(Severity::Warning, shown, "LoopingLink", message);
            }
            self.seen.insert((metadata.dev(), metadata.ino()), first);
            return;
        }
        if depth > MAX_DEPTH {
            let message = format!("directories are nested more than {MAX_DEPTH} deep; this one is not read");
            return self.say(Severity::Error, shown, "OverBudget", message);
        }
        for name in self.list(path, shown) {
            self.entry(&path.join(&name), &shown.join(&name), &name, depth);
        }
    }

    fn entry(&mut self, path: &Path, shown: &Path, name: &str, depth: usize) {
        let is_manifest = is_manifest(name);
        let link = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata.file_type().is_symlink(),
            // Gone since it was listed: there is no such file.
            Err(_) => return,
        };
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                if is_manifest {
                    let message = "is a directory; the files in it are read";
                    self.say(Severity::Warning, shown, "NotAFile", message);
                }
                if link {
                    self.links.push_back(Root { path: path.to_owned(), shown: shown.to_owned() });
                } else {
                    self.directory(path, shown, &metadata, depth + 1);
                }
            }
            found if is_manifest => self.manifest(path, shown, found),
            Err(error) if link => {
                let FileError { reason, message, .. } = unreadable(&error);
                self.say(Severity::Warning, shown, reason, message);
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn manifest(&mut self, path: &Path, shown: &Path, found: io::Result<Metadata>) {
        self.manifests.insert(Arc::from(shown), regular(path, found));
    }

    /// `NAMESPACE/NAME/KEY` below `path`.
    fn key_directories(&mut self, path: &Path, shown: &Path, kind: &'static str) {
        for namespace in self.list(path, shown) {
            let (path, shown) = (path.join(&namespace), shown.join(&namespace));
            if !self.is_directory(&path, &shown, "a directory for each namespace") {
                continue;
            }
            for name in self.list(&path, &shown) {
                let (path, shown) = (path.join(&name), shown.join(&name));
                if self.is_directory(&path, &shown, "a directory for each object") {
                    let object =
                        KeyObject { kind, namespace: namespace.clone(), name, shown: Arc::from(&*shown) };
                    let keys = self.keys(&path, &shown);
                    self.keys.insert(object, keys);
                }
            }
        }
    }

    fn keys(&mut self, path: &Path, shown: &Path) -> BTreeMap<String, Result<Found, FileError>> {
        let names = self.list(path, shown).into_iter().filter(|name| !is_leftover(name));
        names.map(|name| (name.clone(), regular(&path.join(&name), fs::metadata(path.join(&name))))).collect()
    }

    fn is_directory(&mut self, path: &Path, shown: &Path, expected: &str) -> bool {
        let is_directory = fs::metadata(path).is_ok_and(|metadata| metadata.is_dir());
        if !is_directory && fs::symlink_metadata(path).is_ok() {
            self.say(Severity::Warning, shown, "NotADirectory", format!("expected {expected} here"));
        }
        is_directory
    }

    /// Names in a directory, sorted, dot files left out.
    fn list(&mut self, path: &Path, shown: &Path) -> Vec<String> {
        let mut names = Vec::new();
        match fs::read_dir(path) {
            Err(error) => self.cannot_list(shown, &error),
            Ok(entries) => {
                for entry in entries {
                    match entry.map(|entry| entry.file_name().into_string()) {
                        Ok(Ok(name)) if !name.starts_with('.') => names.push(name),
                        Ok(Ok(_)) => {}
                        Ok(Err(name)) => {
                            let message = "the name is not UTF-8; not read";
                            self.say(Severity::Warning, &shown.join(name), "InvalidEncoding", message);
                        }
                        Err(error) => {
                            self.cannot_list(shown, &error);
                            break;
                        }
                    }
                }
            }
        }
        names.sort_unstable();
        names
    }

    fn cannot_list(&mut self, shown: &Path, error: &io::Error) {
        self.say(Severity::Error, shown, "Unreadable", format!("cannot be listed: {error}"));
        self.unreadable.push(Arc::from(shown));
    }

    fn say(&mut self, severity: Severity, shown: &Path, reason: &'static str, message: impl Into<String>) {
        let shown = if shown.as_os_str().is_empty() { Path::new(".") } else { shown };
        let origin = Origin { file: Arc::from(shown), position: None };
        let (object, field_path) = (None, String::new());
        let message = message.into();
        self.diagnostics.push(Diagnostic { severity, origin, object, field_path, reason, message });
    }
}

impl Stamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// True if a change after `now` is sure to change the stamp: the file system's clock has ticked since.
    pub(crate) fn is_settled(&self, now: std::time::SystemTime) -> bool {
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let last = self.modified.max(self.changed);
        let now = (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), i64::from(now.subsec_nanos()));
        let tick = 100_000_000;
        let after = if last.1 + tick < 1_000_000_000 {
            (last.0, last.1 + tick)
        } else {
            (last.0.saturating_add(1), last.1 + tick - 1_000_000_000)
        };
        now > after
    }
}

fn regular(path: &Path, found: io::Result<Metadata>) -> Result<Found, FileError> {
    let metadata = found.map_err(|error| unreadable(&error))?;
    if metadata.is_file() {
        return Ok(Found { path: path.to_owned(), stamp: Stamp::of(&metadata) });
    }
    let kind = metadata.file_type();
    let what = if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_dir() {
        "a directory"
    } else {
        "a device"
    };
    Err(FileError::new(None, "NotAFile", format!("is {what}, expected a regular file; not read")))
}

pub(crate) fn unreadable(error: &io::Error) -> FileError {
    match error.raw_os_error() {
        Some(nix::libc::ELOOP) => FileError::new(None, "LoopingLink", "links lead in a circle"),
        Some(nix::libc::ENOENT) => {
            FileError::new(None, "DanglingLink", "leads to a file that does not exist")
        }
        _ => FileError::new(None, "Unreadable", format!("cannot be read: {error}")),
    }
}

fn is_manifest(name: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| name.ends_with(ending)) && !is_leftover(name)
}

/// What editors and copies leave beside the file that is meant.
fn is_leftover(name: &str) -> bool {
    let endings = ["~", ".swp", ".swo", ".swx", ".tmp", ".bak", ".orig", ".rej"];
    name.starts_with(['#', '~']) || name == "4913" || endings.iter().any(|ending| name.ends_with(ending))
}

fn name_of(path: &Path) -> String {
    if path.as_os_str().is_empty() {
        "the configuration directory".to_owned()
    } else {
        path.display().to_string()
    }
}
