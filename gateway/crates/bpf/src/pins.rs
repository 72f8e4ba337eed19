use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::maps::MapInfo;
use ebpf_common::{
    ABI_VERSION, Beginning, Count, FlowKey, Limit, ListenerKey, Mark, NetworkKey, QuotaKey, Refused,
    SourceCount, SourceKey, SourceMark, names,
};
use nix::{
    errno::Errno,
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use crate::{Error, call, counting, error::Cause, interface};

/// Pinned maps with the sizes of key and value.
const MAPS: [(&str, usize, usize); 13] = [
    (names::LIMITS, size_of::<ListenerKey>(), size_of::<Limit>()),
    (names::NETWORKS, size_of::<u32>() + size_of::<NetworkKey>(), size_of::<u32>()),
    (names::SOURCES, size_of::<SourceKey>(), size_of::<SourceCount>()),
    (names::BEGINNINGS, size_of::<FlowKey>(), size_of::<Beginning>()),
    (names::BUCKETS, size_of::<SourceKey>(), size_of::<u64>()),
    (names::PORTS, size_of::<u32>(), size_of::<u32>()),
    (names::COUNTS, size_of::<u32>(), size_of::<Count>()),
    (names::SLOTS, size_of::<u32>(), size_of::<QuotaKey>()),
    (names::REFUSED, size_of::<QuotaKey>(), size_of::<Refused>()),
    (names::FILLED, size_of::<u32>(), size_of::<u64>()),
    (names::REASONS, size_of::<u32>(), size_of::<u64>()),
    // The storage's key is a socket's descriptor.
    (names::MARKS, size_of::<i32>(), size_of::<Mark>()),
    (names::SOURCE_MARKS, size_of::<i32>(), size_of::<SourceMark>()),
];

/// The directory of everything that outlives the process: `v<ABI>` in a BPF file system.
#[derive(Debug)]
pub(crate) struct Pins {
    base: PathBuf,
    directory: PathBuf,
}

impl Pins {
    /// Opens the directory, and makes it where it is missing.
    pub(crate) fn open(base: &Path) -> Result<Self, Error> {
        if !is_bpffs(base) {
            return Err(Error::NotBpffs { path: base.to_owned() });
        }
        let pins = Self { base: base.to_owned(), directory: base.join(format!("v{ABI_VERSION}")) };
        match fs::create_dir(&pins.directory) {
            Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Error::Pins { path: pins.directory, source });
            }
            _ => {}
        }
        pins.check()?;
        Ok(pins)
    }

    /// Maps that an earlier process has left are taken over as they are, so they must be what we think.
    fn check(&self) -> Result<(), Error> {
        for (path, key, value) in self.maps().map(|(name, key, value)| (self.path(name), key, value)) {
            if !exists(&path) {
                continue;
            }
            let sizes = |info: MapInfo| (info.key_size() as usize, info.value_size() as usize);
            if MapInfo::from_pin(&path).map(sizes).ok() != Some((key, value)) {
                return Err(Error::Layout { path });
            }
        }
        Ok(())
    }

    /// Those of every version that are there. Fails where this process may not look.
    pub(crate) fn all(base: &Path) -> Result<Vec<(u32, Self)>, Error> {
        let unreadable = |source| Error::Unreadable { path: base.to_owned(), source };
        match statfs(base) {
            Ok(file_system) if file_system.filesystem_type() == BPF_FS_MAGIC => {}
            Err(error) if error != Errno::ENOENT => return Err(unreadable(error.into())),
            _ => return Err(Error::NotBpffs { path: base.to_owned() }),
        }
        fs::read_dir(base).map_err(|error| unreadable(error.into()))?;
        let pins = |directory: PathBuf| {
            let version = directory.file_name()?.to_str()?.strip_prefix('v')?.parse().ok()?;
            Some((version, Self { base: base.to_owned(), directory }))
        };
        let mut all: Vec<(u32, Self)> = versions(base).filter_map(pins).collect();
        all.sort_by_key(|(version, _)| *version);
        Ok(all)
    }

    /// Names of all pins, sorted. Fails where this process may not look.
    pub(crate) fn listed(&self) -> Result<Vec<String>, Error> {
        fs::read_dir(&self.directory)
            .map_err(|error| Error::Unreadable { path: self.directory.clone(), source: error.into() })?;
        let mut names = entries(&self.directory);
        names.sort();
        Ok(names)
    }

    /// A pin cannot be looked at.
    pub(crate) fn unreadable(&self, name: &str, source: Cause) -> Error {
        Error::Unreadable { path: self.path(name), source }
    }

    /// Where the pins are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ends what is pinned here: links at once, and then all pins.
    pub(crate) fn remove_directory(&self) -> Result<(), Error> {
        end_links(&self.directory);
        let removed = fs::remove_dir_all(&self.directory);
        removed.map_err(|source| Error::Pins { path: self.directory.clone(), source })
    }

    /// Each pinned map's name, and sizes of key and value.
    pub(crate) fn maps(&self) -> impl Iterator<Item = (&'static str, usize, usize)> {
        MAPS.into_iter()
    }

    /// A pin's path. Names have no dots: a BPF file system keeps those for itself.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Most rows that a pinned map may have; `None`: there is no such pin.
    pub(crate) fn room(&self, name: &str) -> Option<u32> {
        let path = self.path(name);
        exists(&path).then(|| MapInfo::from_pin(&path).map(|info| info.max_entries()).ok())?
    }

    /// Names of the pins that begin so.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        entries(&self.directory).into_iter().filter(|name| name.starts_with(prefix)).collect()
    }

    /// Removes a pin; what it held ends, unless somebody else holds it.
    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Pins { path, source }),
            _ => Ok(()),
        }
    }

    /// Removes a link's pin and ends the link, whoever else holds it.
    pub(crate) fn remove_link(&self, name: &str) -> Result<(), Error> {
        end_link(&self.path(name));
        self.remove(name)
    }

    /// Renames a pin, over one that is there.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let path = self.path(to);
        fs::rename(self.path(from), &path).map_err(|source| Error::Pins { path, source })
    }

    /// The directories of other versions.
    pub(crate) fn other_versions(&self) -> impl Iterator<Item = PathBuf> {
        versions(&self.base).filter(|directory| *directory != self.directory)
    }

    /// Moves the links on interfaces here from another version's directory.
    pub(crate) fn take_links(&self, directory: &Path) {
        let names = entries(directory).into_iter().filter(|name| name.starts_with(interface::PIN_PREFIX));
        for name in names {
            let (from, to) = (directory.join(&name), self.path(&name));
            // Its place is taken where an earlier take-over ended half-way.
            if exists(&to) || fs::rename(&from, &to).is_err() {
                end_link(&from);
            }
        }
    }

    /// Ends everything, what other versions have left too.
    pub(crate) fn remove_all(self) {
        versions(&self.base).for_each(|directory| remove_directory(&directory));
    }
}

/// Ends what an earlier process has left pinned, for one that does without the kernel half: limits that nobody
/// keeps would go on to be enforced.
pub fn clean(pin_dir: &Path) {
    if is_bpffs(pin_dir) {
        versions(pin_dir).for_each(|directory| remove_directory(&directory));
    }
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|file_system| file_system.filesystem_type() == BPF_FS_MAGIC)
}

/// The directories of all versions.
fn versions(base: &Path) -> impl Iterator<Item = PathBuf> {
    let is_version =
        |name: &String| name.strip_prefix('v').is_some_and(|number| number.parse::<u32>().is_ok());
    entries(base).into_iter().filter(is_version).map(|name| base.join(name))
}

/// BPF file systems do not open pins as files, but say whether they are there.
pub(crate) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Ends what a version has left: links at once, and then all pins.
pub(crate) fn remove_directory(directory: &Path) {
    end_links(directory);
    if let Err(error) = fs::remove_dir_all(directory) {
        tracing::warn!(directory = %directory.display(), %error, "cannot remove pins; the kernel goes on with them");
    }
}

fn end_links(directory: &Path) {
    let is_link = |name: &String| name.starts_with(interface::PIN_PREFIX) || name.starts_with(counting::PIN);
    for name in entries(directory).into_iter().filter(is_link) {
        end_link(&directory.join(name));
    }
    // A filter of clsact is not pinned, and goes on: without limits it refuses nobody.
    if let Some(limits) = call::RawMap::any(&directory.join(names::LIMITS))
        && let Err(error) = limits.clear()
    {
        tracing::warn!(directory = %directory.display(), %error, "cannot empty the limits of these pins");
    }
}

fn end_link(path: &Path) {
    // One whose interface has gone is ended already.
    let _ = call::detach(path);
}
