//! Where the object file is, and whether these tests can run.

use std::path::{Path, PathBuf};

/// The directory of the object file; `None`: skipped, which is a failure where the tier is required.
pub fn directory() -> Option<PathBuf> {
    let required = e2e::required("bpf");
    let root = nix::unistd::geteuid().is_root();
    let directory = std::env::var_os("GATEWAY_BPF_DIR").map_or_else(built, PathBuf::from);
    let built = directory.join("gateway.bpf.o").is_file();
    assert!(
        !required || (root && built),
        "GATEWAY_TEST_REQUIRE names bpf: root {root}, object built {built}"
    );
    if !root || !built {
        println!("skipped: root {root}, object built {built}");
        return None;
    }
    Some(directory)
}

fn built() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/bpf")
}
