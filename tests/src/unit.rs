//! A program under what `systemd/gateway.service` allows it: its user, capabilities, system-call filter, limits and
//! view of the file system, read from the unit itself. A test that passes so is known to pass under systemd as far as
//! these go; without them it would run as root, who may do anything.

mod credentials;
mod filter;
mod service;
mod view;

use std::{
    convert::Infallible,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use nix::{
    libc,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        stat::{Mode, umask},
    },
};
use service::Service;

/// What to start, and what of it the service manager would have made.
#[derive(Debug)]
pub struct Launch {
    /// The unit file.
    pub unit: PathBuf,
    /// Directories that the user owns and may write to: state and runtime directory.
    pub own: Vec<PathBuf>,
    /// What the program is not to find: file systems are unmounted, other directories covered.
    pub hidden: Vec<PathBuf>,
    /// The executable; it and `bpf` beside it appear where the unit has them installed.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// Hardening that is left out: what tests need (`/tmp` and `/dev` are theirs), what other lines cover (the filter
/// has none of the calls), and what only a service manager can do. Anything else that a unit says to confine the
/// service is applied, or is an error: whoever adds a line decides here.
const LEFT_OUT: [&str; 15] = [
    "PrivateTmp",
    "PrivateDevices",
    "DevicePolicy",
    "PrivateMounts",
    "ProtectHome",
    "ProtectClock",
    "ProtectHostname",
    "ProtectKernelLogs",
    "ProtectKernelModules",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "RemoveIPC",
    "KeyringMode",
    "LimitMEMLOCK",
    "SystemCallErrorNumber",
];

/// What [`launch`] applies.
const APPLIED: [&str; 17] = [
    "User",
    "Group",
    "AmbientCapabilities",
    "CapabilityBoundingSet",
    "NoNewPrivileges",
    "SystemCallArchitectures",
    "SystemCallFilter",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "ProtectSystem",
    "ProtectProc",
    "ProcSubset",
    "ProtectKernelTunables",
    "ProtectControlGroups",
    "LimitNOFILE",
];

/// Becomes the program, confined. Needs root; returns only with an error.
pub fn launch(launch: &Launch) -> Result<Infallible> {
    let service = Service::read(&launch.unit)?;
    if let Some(key) = service.confining().find(|key| !APPLIED.contains(key) && !LEFT_OUT.contains(key)) {
        bail!("the unit says {key}, and nobody has decided whether the tests are to apply it");
    }
    let filters = filter::of(&service)?;
    let user = credentials::User::of(&service)?;
    user.own(&launch.own)?;
    let installed = view::enter(&service, launch)?;
    limits(&service)?;
    credentials::assume(&service, &user)?;
    memory(&service)?;
    let mut command = Command::new(&installed);
    command.args(&launch.arguments);
    filter::install(&filters)?;
    Err(command.exec()).with_context(|| format!("cannot execute {}", installed.display()))
}

/// `LimitNOFILE=` and `UMask=`.
fn limits(service: &Service) -> Result<()> {
    if let Some(wanted) = service.last("LimitNOFILE") {
        let wanted = wanted.parse::<u64>().context("LimitNOFILE is no number")?;
        // Root of a container may not raise it.
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        if setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_err() {
            let lower = wanted.min(hard);
            setrlimit(Resource::RLIMIT_NOFILE, lower, lower).context("cannot set LimitNOFILE")?;
        }
    }
    if let Some(mask) = service.last("UMask") {
        let mask = u32::from_str_radix(mask, 8).context("UMask is not octal")?;
        umask(Mode::from_bits_truncate(mask));
    }
    Ok(())
}

/// `MemoryDenyWriteExecute=`, by the kernel's own means (6.3); it goes on over execve.
fn memory(service: &Service) -> Result<()> {
    if !service.is_set("MemoryDenyWriteExecute") {
        return Ok(());
    }
    // SAFETY: prctl with numbers only.
    let outcome = unsafe { libc::prctl(libc::PR_SET_MDWE, libc::PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) };
    if outcome != 0 {
        eprintln!("this kernel cannot deny memory that is both writable and executable; it needs 6.3");
    }
    Ok(())
}

/// The unit of this checkout.
pub fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../systemd/gateway.service")
}
