use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use super::{Desired, Source};
use crate::watch::Watch;

const GOOD: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: good}\n";
const BROKEN: &str = "apiVersion: v1\nkind: [";

struct Place {
    directory: tempfile::TempDir,
    watch: Watch,
    source: Source,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("config")).expect("made");
        fs::write(directory.path().join("config/a.yaml"), GOOD).expect("written");
        let watch = Watch::start(&directory.path().join("config")).expect("inotify");
        let (source, complaint) =
            Source::open(&directory.path().join("config"), &directory.path().join("state"));
        assert_eq!(complaint, None);
        Self { directory, watch, source }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("config/a.yaml")
    }

    fn read(&mut self) -> Option<Desired> {
        self.watch.take();
        self.source.read(&mut self.watch)
    }
}

#[test]
fn what_did_not_change_is_not_loaded_again() {
    let mut place = Place::new();
    assert!(place.read().is_some());
    assert!(place.read().is_none());
    fs::write(place.file(), GOOD).expect("written");
    assert!(place.read().is_none(), "the same text again");
    fs::write(place.file(), BROKEN).expect("written");
    assert_eq!(place.read().expect("it changed").diagnostics.len(), 1);
}

#[test]
fn a_file_that_is_being_written_is_as_it_was() {
    let mut place = Place::new();
    place.read();
    let mut file = File::create(place.file()).expect("truncated");
    file.write_all(BROKEN.as_bytes()).expect("written");
    let desired = place.read().expect("it changed");
    assert!(desired.diagnostics.is_empty(), "{:?}", desired.diagnostics);
    assert_eq!(desired.files.0["a.yaml"], crate::digest::BEING_WRITTEN, "nobody takes it for live");
    drop(file);
    assert_eq!(place.read().expect("closed").diagnostics.len(), 1);
}

#[test]
fn a_file_that_is_written_during_the_load_is_as_it_was() {
    let mut place = Place::new();
    place.read();
    // The watch has not been asked since: this is what a reload that is under way would read.
    fs::write(place.file(), BROKEN).expect("written");
    let desired = place.source.read(&mut place.watch).expect("it changed");
    assert!(desired.diagnostics.is_empty(), "{:?}", desired.diagnostics);
    assert!(place.watch.take(), "and there is another reload");
    let desired = place.source.read(&mut place.watch).expect("it is different from what is in force");
    assert_eq!(desired.diagnostics.len(), 1);
}

#[test]
fn memory_is_kept_for_the_service_alone_and_may_be_broken() {
    let mut place = Place::new();
    place.read();
    place.source.remember();
    let state = place.directory.path().join("state");
    let path = state.join("last-good.json");
    let mode = fs::metadata(&path).expect("it is kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (_, complaint) = Source::open(&place.directory.path().join("config"), &state);
    assert_eq!(complaint, None);
    fs::write(&path, "{nonsense").expect("written");
    let (_, complaint) = Source::open(&place.directory.path().join("config"), &state);
    assert!(complaint.is_some_and(|complaint| complaint.contains("last-good.json")));
}
