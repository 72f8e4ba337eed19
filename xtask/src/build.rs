//! `cargo xtask build`: both halves.

use std::path::PathBuf;

use anyhow::Result;

use crate::{ebpf, step};

/// What to build.
#[derive(clap::Args)]
pub struct Arguments {
    /// With the release profile
    #[arg(long)]
    pub release: bool,
}

/// Where the products are.
pub struct Built {
    /// The appliance.
    pub gateway: PathBuf,
}

/// Builds the appliance and the BPF object, which goes to `bpf/` beside the executable.
pub fn run(arguments: &Arguments) -> Result<Built> {
    let profile = if arguments.release { "release" } else { "debug" };
    let directory = step::target().join(profile);
    user_half(arguments.release)?;
    let object = ebpf::build()?;
    let beside = directory.join("bpf");
    std::fs::create_dir_all(&beside)?;
    let name = object.file_name().expect("an object has a name");
    std::fs::copy(&object, beside.join(name))?;
    Ok(Built { gateway: directory.join("gateway") })
}

/// Builds the appliance alone.
pub fn user_half(release: bool) -> Result<()> {
    let mut cargo = step::cargo();
    cargo.args(["build", "--locked", "-p", "gateway"]);
    if release {
        cargo.arg("--release");
    }
    step::run(&mut cargo, "build the appliance", "the compiler's message above says what is wrong")
}
