//! `cargo xtask setup`: installs what is missing, and nothing else.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{ebpf, step};

/// A program that a tier needs and the Debian package that has it.
pub struct Program {
    /// As on the path.
    pub name: &'static str,
    /// Debian's package.
    pub package: &'static str,
    /// What does not work without it.
    pub why: &'static str,
}

/// Programs that `run` and `test` start.
pub const PROGRAMS: &[Program] = &[
    Program { name: "cc", package: "gcc", why: "the C half of the TLS library cannot be built" },
    Program { name: "ip", package: "iproute2", why: "no network namespaces: `run` and the wire tests" },
    Program { name: "nsenter", package: "util-linux", why: "nothing can be started in a namespace" },
    Program {
        name: "ethtool",
        package: "ethtool",
        why: "no receive offload on veth: XDP's answers would be lost",
    },
    Program { name: "curl", package: "curl", why: "the README's commands cannot be run" },
    Program { name: "openssl", package: "openssl", why: "no certificate for the example's HTTPS listener" },
    Program {
        name: "systemd-analyze",
        package: "systemd",
        why: "the unit's exposure cannot be rated, nor its system-call filter be tested",
    },
];

/// Installs what is missing.
pub fn run() -> Result<()> {
    packages(PROGRAMS.iter().filter(|program| !step::on_path(program.name)).map(|program| program.package))?;
    ebpf::setup()
}

/// Installs Debian packages; none named: nothing happens.
pub fn packages<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let names: Vec<&str> = names.into_iter().collect();
    if names.is_empty() {
        return Ok(());
    }
    let remedy = format!("install by hand what your distribution calls {}", names.join(", "));
    if !step::on_path("apt-get") {
        bail!("missing: {}; this is no Debian, so {remedy}", names.join(", "));
    }
    if !step::is_root() {
        bail!("missing: {}; run `apt-get install {}` as root", names.join(", "), names.join(" "));
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    step::run(apt().arg("update"), "know the packages of today", "is a Debian mirror reachable?")?;
    step::run(
        apt().args(["install", "-y", "--no-install-recommends"]).args(&names),
        "install what the build and the tests start",
        &remedy,
    )
}
