use std::{fs, io::ErrorKind, path::Path, sync::Arc, time::SystemTime};

use super::{Cached, being_written, digest, read_bytes};
use crate::{
    document::FileRead,
    walk::Found,
    yaml::{self, FileError, MAX_BYTES},
};

/// Files that have been read and not yet believed: so that who writes to them is asked once for many, and after
/// the last of them was read.
#[derive(Debug, Default)]
pub(super) struct Batch {
    files: Vec<Opened>,
    bytes: u64,
}

#[derive(Debug)]
struct Opened {
    shown: Arc<Path>,
    found: Found,
    /// What was read of it earlier.
    earlier: Option<Cached>,
    settled: bool,
    bytes: Result<Vec<u8>, FileError>,
}

impl Batch {
    /// Reads one more file. One that is gone since it was listed is none.
    pub(super) fn read(&mut self, shown: Arc<Path>, found: Found, earlier: Option<Cached>) {
        let settled = found.stamp.is_settled(SystemTime::now());
        let bytes = if found.stamp.size > MAX_BYTES {
            Err(yaml::too_large(found.stamp.size))
        } else {
            read_bytes(&found.path, MAX_BYTES)
        };
        if bytes.is_err() && is_gone(&found.path) {
            return;
        }
        self.bytes += bytes.as_ref().map_or(0, |bytes| bytes.len() as u64);
        self.files.push(Opened { shown, found, earlier, settled, bytes });
    }

    /// True if no more should be held in memory.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= MAX_BYTES
    }

    /// Asks, parses what can be believed, and is empty.
    pub(super) fn settle(
        &mut self,
        busy: &mut dyn FnMut(&[&Path]) -> Vec<bool>,
    ) -> impl Iterator<Item = (Arc<Path>, Cached)> {
        let Self { files, .. } = std::mem::take(self);
        let paths: Vec<&Path> = files.iter().map(|file| &*file.found.path).collect();
        let busy = if paths.is_empty() { Vec::new() } else { busy(&paths) };
        files.into_iter().zip(busy).map(|(file, busy)| (Arc::clone(&file.shown), file.parse(busy)))
    }
}

impl Opened {
    fn parse(self, busy: bool) -> Cached {
        let Self { shown, found, earlier, settled, bytes } = self;
        let stamp = found.stamp;
        if busy {
            let as_before = || Cached { stamp, settled: false, digest: 0, read: Arc::new(being_written()) };
            return earlier.map_or_else(as_before, |earlier| Cached { settled: false, ..earlier });
        }
        match bytes {
            Ok(bytes) => {
                let digest = digest(&bytes);
                let read = match earlier {
                    Some(earlier) if earlier.digest == digest => earlier.read,
                    earlier => {
                        Arc::new(FileRead::of(&shown, &bytes, earlier.as_ref().map(|earlier| &*earlier.read)))
                    }
                };
                Cached { stamp, settled, digest, read }
            }
            Err(error) => {
                // Tried again each time: what stands in the way may go without a trace on the file.
                Cached { stamp, settled: false, digest: 0, read: Arc::new(FileRead::refused(&shown, error)) }
            }
        }
    }
}

/// False for a link that leads nowhere: that is a mistake, and is said.
fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::walk::Stamp;

    #[test]
    fn a_file_that_goes_between_being_listed_and_being_read_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.yaml");
        fs::write(&path, "").unwrap();
        let stamp = Stamp::of(&fs::metadata(&path).unwrap());
        let found = Found { path: path.clone(), stamp };
        fs::remove_file(&path).unwrap();
        let mut batch = Batch::default();
        batch.read(Arc::from(Path::new("a.yaml")), found.clone(), None);
        assert_eq!(batch.settle(&mut |paths| vec![false; paths.len()]).count(), 0);
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        batch.read(Arc::from(Path::new("a.yaml")), found, None);
        let read: Vec<_> = batch.settle(&mut |paths| vec![false; paths.len()]).collect();
        assert_eq!(read.len(), 1, "a link that leads nowhere is said");
    }
}
