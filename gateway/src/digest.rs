//! Which files are read and what they hold, to tell whether what is on disk is what is in force.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    hash::Hasher,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Beyond this a file is refused by the loader; size and time of change stand for what it holds.
const MAX_SIZE: u64 = 16 << 20;

/// Digest of each file that is read, by its path relative to the configuration directory. For comparing what
/// one build of the program has seen; not a cryptographic promise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Digests(pub(crate) BTreeMap<String, String>);

impl Digests {
    /// Reads every manifest, Secret key and ConfigMap key below a directory, by the rules of the loader. What
    /// cannot be read has a digest too: of the fact.
    pub(crate) fn of(root: &Path) -> Self {
        let mut all = BTreeMap::new();
        walk(root, Path::new(""), &mut HashSet::new(), &mut all);
        Self(all)
    }

    /// Paths whose digests differ, the first few.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let changed = self.0.iter().filter(|(path, digest)| other.0.get(*path) != Some(digest));
        let missing = other.0.keys().filter(|path| !self.0.contains_key(*path));
        changed.map(|(path, _)| path.as_str()).chain(missing.map(String::as_str))
    }
}

fn walk(root: &Path, below: &Path, seen: &mut HashSet<(u64, u64)>, all: &mut BTreeMap<String, String>) {
    let directory = root.join(below);
    let Ok(metadata) = fs::metadata(&directory) else { return };
    if !seen.insert((metadata.dev(), metadata.ino())) {
        return;
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(&directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let Some(name) = path.file_name() else { continue };
        if name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let relative = below.join(name);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => walk(root, &relative, seen, all),
            Ok(metadata) if is_read(&relative) => {
                all.insert(relative.display().to_string(), digest(&path, &metadata));
            }
            Err(error) if is_read(&relative) => {
                all.insert(relative.display().to_string(), format!("unreadable: {}", error.kind()));
            }
            _ => {}
        }
    }
    // Another way to the same directory is another set of names.
    seen.remove(&(metadata.dev(), metadata.ino()));
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
    match File::open(path).and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut content)) {
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
