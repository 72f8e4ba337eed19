//! Inputs to begin with, and inputs that broke something.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::target::Target;

/// The seeds of a target, sorted by name so that a seed number means the same everywhere.
pub fn seeds(target: Target) -> Vec<Vec<u8>> {
    let directory = root().join("corpus").join(target.name());
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the corpus is readable").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("the corpus is readable")).collect()
}

/// Keeps an input that broke a target; gives its path.
pub fn keep(target: Target, input: &[u8]) -> PathBuf {
    let directory = root().join("artifacts");
    fs::create_dir_all(&directory).expect("artifacts can be written");
    let number = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let path = directory.join(format!("{}-{number:016x}", target.name()));
    fs::write(&path, input).expect("artifacts can be written");
    path
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
