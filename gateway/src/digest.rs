//! Which files are read and what they hold, to tell whether what is on disk is what is in force.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs::{self, File},
    hash::Hasher,
    io::Read,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use crate::clock;

/// Beyond this a file is refused by the loader; size and time of change stand for what it holds.
const MAX_SIZE: u64 = 16 << 20;

/// Digest of each file that is read, by its path relative to the configuration directory. For comparing what
/// one build of the program has seen; not a cryptographic promise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Digests(pub(crate) BTreeMap<String, String>);

/// Digests by device, inode, size and times, so that a file that did not change is not read again.
#[derive(Debug, Default)]
pub(crate) struct Cache(HashMap<Stamp, String>);

type Stamp = (u64, u64, u64, i64, i64, i64, i64);

/// Stands for what a file holds that is being written.
pub(crate) const BEING_WRITTEN: &str = "being written";

impl Digests {
    /// Reads every manifest, Secret key and ConfigMap key below a directory, by the rules of the loader. What
    /// cannot be read has a digest too: of the fact.
    pub(crate) fn of(root: &Path) -> Self {
        Cache::default().digests(root, &BTreeSet::new())
    }

    /// Paths whose digests differ, the first few.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let changed = self.0.iter().filter(|(path, digest)| other.0.get(*path) != Some(digest));
        let missing = other.0.keys().filter(|path| !self.0.contains_key(*path));
        changed.map(|(path, _)| path.as_str()).chain(missing.map(String::as_str))
    }
}

impl Cache {
    /// [`Digests::of`], reading only what has changed. `busy` are real paths of files that are being written.
    pub(crate) fn digests(&mut self, root: &Path, busy: &BTreeSet<PathBuf>) -> Digests {
        let mut walk = Walk {
            root,
            busy,
            old: &self.0,
            new: HashMap::new(),
            seen: HashSet::new(),
            all: BTreeMap::new(),
        };
        walk.directory(Path::new(""));
        let Walk { new, all, .. } = walk;
        self.0 = new;
        Digests(all)
    }
}

struct Walk<'a> {
    root: &'a Path,
    busy: &'a BTreeSet<PathBuf>,
    old: &'a HashMap<Stamp, String>,
    new: HashMap<Stamp, String>,
    seen: HashSet<(u64, u64)>,
    all: BTreeMap<String, String>,
}

impl Walk<'_> {
    fn directory(&mut self, below: &Path) {
        let directory = self.root.join(below);
        let Ok(metadata) = fs::metadata(&directory) else { return };
        if !self.seen.insert((metadata.dev(), metadata.ino())) {
            return;
        }
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let relative = below.join(name);
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.directory(&relative),
                Ok(metadata) if is_read(&relative) => {
                    let digest = self.file(&path, &metadata);
                    self.all.insert(relative.display().to_string(), digest);
                }
                Err(error) if is_read(&relative) => {
                    self.all.insert(relative.display().to_string(), format!("unreadable: {}", error.kind()));
                }
                _ => {}
            }
        }
        // Another way to the same directory is another set of names.
        self.seen.remove(&(metadata.dev(), metadata.ino()));
    }

    fn file(&mut self, path: &Path, metadata: &fs::Metadata) -> String {
        if !self.busy.is_empty() && fs::canonicalize(path).is_ok_and(|real| self.busy.contains(&real)) {
            return BEING_WRITTEN.to_owned();
        }
        let stamp = (
            metadata.dev(),
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        );
        let digest = self.old.get(&stamp).cloned().unwrap_or_else(|| digest(path, metadata));
        // A file that has just changed may change again within one tick of the file system's clock.
        if metadata.ctime() + 2 < clock::now() {
            self.new.insert(stamp, digest.clone());
        }
        digest
    }
}

/// `*.yaml`, `*.yml`, `*.json` anywhere; `secrets/NAMESPACE/NAME/KEY` and `configmaps/NAMESPACE/NAME/KEY`.
fn is_read(relative: &Path) -> bool {
    let parts: Vec<_> = relative.iter().collect();
    if let [first, _, _, _] = parts[..]
        && (first == "secrets" || first == "configmaps")
    {
        return true;
    }
    relative
        .extension()
        .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
}

fn digest(path: &Path, metadata: &fs::Metadata) -> String {
    if !metadata.is_file() || metadata.len() > MAX_SIZE {
        return format!("{}@{}.{}", metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    }
    let mut content = Vec::new();
    let opened = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    match opened.and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut content)) {
        Ok(_) => {
            let mut hasher = std::hash::DefaultHasher::new();
            hasher.write(&content);
            format!("{:016x}-{}", hasher.finish(), content.len())
        }
        Err(error) => format!("unreadable: {}", error.kind()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_read_is_what_has_a_digest() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        for path in ["a.yaml", "sub/b.json", "secrets/default/cert/tls.crt", "sub/note.txt", ".hidden.yaml"] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("it has one")).expect("made");
            fs::write(path, "x").expect("written");
        }
        symlink(".", root.join("loop")).expect("linked");
        symlink("nowhere", root.join("dangling.yaml")).expect("linked");
        let before = Digests::of(root);
        let paths: Vec<&str> = before.0.keys().map(String::as_str).collect();
        assert_eq!(paths, ["a.yaml", "dangling.yaml", "secrets/default/cert/tls.crt", "sub/b.json"]);
        fs::write(root.join("a.yaml"), "y").expect("written");
        let after = Digests::of(root);
        assert_eq!(after.differing(&before).collect::<Vec<_>>(), ["a.yaml"]);
    }
}
