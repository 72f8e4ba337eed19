mod batch;
mod spent;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::OpenOptions,
    hash::{DefaultHasher, Hash, Hasher},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    LoaderState, ManifestSet, Timestamp,
    document::FileRead,
    force::Memory,
    key_dirs::KeyObject,
    walk::{Found, Root, Stamp, Walk, unreadable},
    yaml::FileError,
};
use batch::Batch;
pub use spent::Spent;

/// Reads a configuration directory again and again: what did not change is not read twice, and what was
/// good stays in force while its file is not. Blocks on the disk; has no threads.
#[derive(Debug)]
pub struct Loader {
    roots: Vec<Root>,
    files: HashMap<Arc<Path>, Cached>,
    keys: HashMap<KeyObject, CachedKeys>,
    memory: Memory,
    spent: Spent,
}

#[derive(Debug)]
struct Cached {
    stamp: Stamp,
    /// False: the file may change without its stamp changing.
    settled: bool,
    digest: u64,
    read: Arc<FileRead>,
}

#[derive(Debug)]
struct CachedKeys {
    stamps: Vec<(String, Stamp)>,
    settled: bool,
    read: Arc<FileRead>,
}

impl Loader {
    /// A loader of a configuration directory, with what an earlier process remembered.
    pub fn new(config_dir: impl Into<PathBuf>, state: Option<LoaderState>) -> Self {
        let root = Root { path: config_dir.into(), shown: PathBuf::new() };
        Self::of_roots(vec![root], state)
    }

    /// A loader of single files and directories, for `check`. A file is read whatever its name.
    pub fn of_paths(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let roots = paths.into_iter().map(|path| Root { shown: path.clone(), path }).collect();
        Self::of_roots(roots, None)
    }

    fn of_roots(roots: Vec<Root>, state: Option<LoaderState>) -> Self {
        let memory = state.map(Memory::restore).unwrap_or_default();
        Self { roots, files: HashMap::new(), keys: HashMap::new(), memory, spent: Spent::default() }
    }

    /// Reads what changed since the last time.
    pub fn load(&mut self) -> ManifestSet {
        self.load_at(Timestamp::now())
    }

    /// [`load`](Self::load), but a file for which `busy` is true once it has been read is as it was before: it
    /// may have been read half written. `busy` is asked with the paths that were opened, of several files after
    /// the last of them was read, and gives an answer for each, in order.
    pub fn load_unless(&mut self, busy: &mut dyn FnMut(&[&Path]) -> Vec<bool>) -> ManifestSet {
        self.load_all(Timestamp::now(), busy)
    }

    /// [`load`](Self::load), with what objects seen for the first time get as their time of creation.
    pub fn load_at(&mut self, now: Timestamp) -> ManifestSet {
        self.load_all(now, &mut |paths| vec![false; paths.len()])
    }

    fn load_all(&mut self, now: Timestamp, busy: &mut dyn FnMut(&[&Path]) -> Vec<bool>) -> ManifestSet {
        let start = Instant::now();
        let mut parse = Duration::ZERO;
        let walk = Walk::of(&self.roots);
        let mut reads = BTreeMap::new();
        let mut files = HashMap::with_capacity(walk.manifests.len());
        let mut batch = Batch::default();
        for (shown, found) in walk.manifests {
            match found {
                Ok(found) => match self.files.remove(&shown) {
                    Some(cached) if cached.settled && cached.stamp == found.stamp => {
                        files.insert(shown, cached);
                    }
                    earlier => batch.read(shown, found, earlier),
                },
                Err(error) => {
                    let read = Arc::new(FileRead::refused(&shown, error));
                    reads.insert(shown, read);
                }
            }
            if batch.is_full() {
                let settled = Instant::now();
                files.extend(batch.settle(busy));
                parse += settled.elapsed();
            }
        }
        let settled = Instant::now();
        files.extend(batch.settle(busy));
        parse += settled.elapsed();
        reads.extend(files.iter().map(|(shown, cached)| (Arc::clone(shown), Arc::clone(&cached.read))));
        self.files = files;
        let mut keys = HashMap::with_capacity(walk.keys.len());
        for (object, found) in walk.keys {
            let cached = read_keys(&object, &found, self.keys.remove(&object), busy);
            reads.insert(Arc::clone(&object.shown), Arc::clone(&cached.read));
            keys.insert(object, cached);
        }
        self.keys = keys;
        for file in self.memory.files().filter(|file| !reads.contains_key(file)).collect::<BTreeSet<_>>() {
            if let Some(directory) = walk.unreadable.iter().find(|directory| file.starts_with(directory)) {
                let broken = Some(format!("{}: cannot be listed", directory.display()));
                reads.insert(file, Arc::new(FileRead { broken, ..FileRead::default() }));
            }
        }
        let chosen = Instant::now();
        let set = self.memory.in_force(&reads, walk.diagnostics, now);
        parse += chosen.elapsed();
        self.spent = Spent { read: start.elapsed().saturating_sub(parse), parse };
        set
    }

    /// What the last load from the disk took.
    pub const fn spent(&self) -> Spent {
        self.spent
    }

    /// The same as [`load_at`](Self::load_at) for texts that are at hand: no disk is touched. Takes manifests
    /// only, no directories of keys.
    pub fn load_texts<'a>(
        &mut self,
        texts: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        now: Timestamp,
    ) -> ManifestSet {
        let reads = texts
            .into_iter()
            .map(|(path, bytes)| {
                let file: Arc<Path> = Arc::from(Path::new(path));
                let read = Arc::new(FileRead::of(&file, bytes, None));
                (file, read)
            })
            .collect();
        self.memory.in_force(&reads, Vec::new(), now)
    }

    /// What the next process must know: see [`LoaderState`].
    pub fn state(&self) -> LoaderState {
        self.memory.store()
    }
}

fn read_keys(
    object: &KeyObject,
    found: &BTreeMap<String, Result<Found, FileError>>,
    cached: Option<CachedKeys>,
    busy: &mut dyn FnMut(&[&Path]) -> Vec<bool>,
) -> CachedKeys {
    let stamp = |(key, found): (&String, &Result<Found, FileError>)| {
        found.as_ref().ok().map(|found| (key.clone(), found.stamp))
    };
    let stamps: Vec<(String, Stamp)> = found.iter().filter_map(stamp).collect();
    let complete = stamps.len() == found.len();
    match cached {
        Some(cached) if cached.settled && complete && cached.stamps == stamps => cached,
        cached => {
            let now = SystemTime::now();
            let read = Arc::new(object.read(found));
            let paths: Vec<&Path> = found.values().flatten().map(|found| &*found.path).collect();
            if !paths.is_empty() && busy(&paths).contains(&true) {
                let as_before = || CachedKeys { stamps, settled: false, read: Arc::new(being_written()) };
                return cached.map_or_else(as_before, |cached| CachedKeys { settled: false, ..cached });
            }
            let settled = read.broken.is_none() && stamps.iter().all(|(_, stamp)| stamp.is_settled(now));
            CachedKeys { stamps, settled, read }
        }
    }
}

/// Keeps in force what an earlier process has read from the file.
fn being_written() -> FileRead {
    FileRead { broken: Some("is being written".to_owned()), ..FileRead::default() }
}

/// Reads a regular file, at most one byte more than `most`. Never blocks on what only looks like a file.
pub(crate) fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY);
    let file = options.open(path).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(FileError::new(None, "NotAFile", "is not a regular file any more; not read"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(most)).unwrap_or(0));
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    Ok(bytes)
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
