use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use manifest::Loader;
use translate::{HostFacts, translate};

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
        let watch = Watch::start(&directory.path().join("config"), directory.path()).expect("inotify");
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

fn golden_inputs(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("golden cases").flatten().map(|entry| entry.path());
    let inputs = entries.flat_map(|path| match path.to_str() {
        Some(name) if name.ends_with(".in.yaml") => vec![fs::read_to_string(name).expect("it is read")],
        _ if path.is_dir() => golden_inputs(&path),
        _ => Vec::new(),
    });
    inputs.collect()
}

/// The Secret that most cases name.
fn secret() -> String {
    let names = ["cafe.example.com".to_owned(), "*.example.com".to_owned()];
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).expect("names that can be certified");
    let data = serde_json::json!({"tls.crt": cert.pem(), "tls.key": signing_key.serialize_pem()});
    let metadata = serde_json::json!({"name": "eg-cert", "namespace": "default"});
    serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})
        .to_string()
}

/// Every golden case, whole and with each of its documents missing in turn: a snapshot is built of what is left,
/// and nothing on the way has an error to return.
#[test]
fn whatever_translation_gives_can_be_built() {
    let options = proxy::Options { workers: Some(1), ..proxy::Options::default() };
    let proxy = proxy::Proxy::start(options).expect("a worker");
    let (secret, facts) = (secret(), HostFacts::default());
    let mut generation = 0;
    for input in golden_inputs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")) {
        let documents: Vec<&str> = input.split("\n---\n").collect();
        for missing in 0..=documents.len() {
            let left = documents.iter().enumerate().filter(|(place, _)| *place != missing);
            let text: String = left.map(|(_, document)| format!("---\n{document}\n")).collect();
            let files = [("case.yaml", text.as_bytes()), ("secret.json", secret.as_bytes())];
            let set = Loader::of_paths([]).load_texts(files, manifest::Timestamp(1));
            let mut config = translate(&set, &facts).gateway;
            // Whether an address can be bound is the host's to say, and no part of the snapshot.
            config.binds.iter_mut().for_each(|bind| bind.sockets.clear());
            generation += 1;
            let prepared = proxy.prepare(config.into(), generation);
            assert_eq!(prepared.generation(), generation);
        }
    }
    assert!(generation > 100, "there are cases");
    assert!(proxy.drain(Duration::from_secs(10)), "there is no connection to wait for");
}
