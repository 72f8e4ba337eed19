use std::{io, path::PathBuf};

use aya::{maps::MapError, programs::ProgramError, sys::SyscallError};
use nix::errno::Errno;

/// What went wrong below; aya's errors, whose types stay inside.
pub(crate) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error with what has caused it: aya's messages leave that to whoever prints them.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Likewise, without the middle of the verifier's log, which may be thousands of lines.
pub(crate) fn brief(error: &(dyn std::error::Error + 'static)) -> String {
    let error = chain(error);
    let mut lines = error.lines();
    let first: String = lines.next().unwrap_or_default().chars().take(200).collect();
    let last: Vec<&str> = lines.clone().rev().filter(|line| !line.is_empty()).take(5).collect();
    if lines.next().is_none() {
        first
    } else {
        format!("{first} ... {}", last.into_iter().rev().collect::<Vec<_>>().join(" | "))
    }
}

/// Why the kernel half, or one interface of it, does not work. Each names the likely cause.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no object file.
    #[error(
        "no BPF programs: looked for {}; `cargo xtask build` makes them, --bpf-dir names where they are",
        looked_for.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    NoObject {
        /// In this order.
        looked_for: Vec<PathBuf>,
    },
    /// The object file cannot be read.
    #[error("cannot read the BPF programs in {path}: {source}")]
    Object {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// The object file was built for another version of the gateway.
    #[error(
        "the BPF programs in {path} have map layout {}, this gateway has {expected}: build and install both halves \
         together",
        found.map_or("unknown".to_owned(), |found| found.to_string())
    )]
    Abi {
        /// The file.
        path: PathBuf,
        /// Its version, if it has one.
        found: Option<u32>,
        /// Ours.
        expected: u32,
    },
    /// Pins need a BPF file system.
    #[error("{path} is no BPF file system, so that nothing can outlive the process: mount -t bpf bpf {path}")]
    NotBpffs {
        /// The directory.
        path: PathBuf,
    },
    /// The directory of the pins cannot be used.
    #[error("cannot use the pins in {path}: {source}; is it this user's, and the file system writable?")]
    Pins {
        /// The directory or pin.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Pins cannot be looked at.
    #[error(
        "cannot look at {path}: {}; it takes root, or the gateway's user with CAP_BPF and CAP_NET_ADMIN",
        chain(source.as_ref())
    )]
    Unreadable {
        /// The directory or pin.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// A pinned map is not what its name says.
    #[error(
        "the pinned map {path} has another layout: it is not ours, or damaged; stop the gateway and remove it"
    )]
    Layout {
        /// The pin.
        path: PathBuf,
    },
    /// The kernel refuses the programs or maps.
    #[error(
        "the kernel does not take the BPF programs: {}; it needs Linux 5.15, and CAP_BPF, CAP_NET_ADMIN and \
         CAP_PERFMON",
        brief(source.as_ref())
    )]
    Load {
        /// Why, the verifier's log included.
        source: Cause,
    },
    /// A namespace without a cookie.
    #[error("the network namespace has no cookie: {source}; it needs Linux 5.14")]
    Netns {
        /// Why.
        source: io::Error,
    },
    /// The kernel's table of sockets cannot be read.
    #[error("cannot read the kernel's table of sockets: {source}; is procfs mounted?")]
    Sockets {
        /// Why.
        source: io::Error,
    },
    /// Connections cannot be counted.
    #[error(
        "no cgroup2 file system is mounted, so that connections cannot be counted: mount -t cgroup2 none DIR"
    )]
    NoCgroup,
    /// Connections cannot be counted.
    #[error(
        "cannot count connections at the cgroup {path}: {}; is another sock_ops program in the way?",
        chain(source.as_ref())
    )]
    Counting {
        /// The root of the cgroup tree.
        path: PathBuf,
        /// Why.
        source: Cause,
    },
    /// No such interface.
    #[error("there is no interface {name}")]
    NoInterface {
        /// As configured.
        name: String,
    },
    /// No program can be attached to an interface.
    #[error("interface {name}: {}", tried.join("; "))]
    Interface {
        /// As configured.
        name: String,
        /// Each way and why it failed.
        tried: Vec<String>,
    },
    /// A map cannot be read or written.
    #[error("cannot {action} the map {map}: {}", chain(source.as_ref()))]
    Map {
        /// What was attempted.
        action: &'static str,
        /// Its name.
        map: &'static str,
        /// Why.
        source: Cause,
    },
}

impl Error {
    /// In a word, as the metrics' label `reason` has it.
    pub fn reason(&self) -> &'static str {
        if self.is(Errno::EPERM) {
            return "not_permitted";
        }
        match self {
            Self::NoObject { .. } | Self::Object { .. } | Self::Abi { .. } => "no_programs",
            Self::NotBpffs { .. } => "no_bpffs",
            Self::Pins { .. } | Self::Unreadable { .. } | Self::Layout { .. } => "pins",
            Self::Load { .. } => "not_loaded",
            Self::Netns { .. } => "no_netns_cookie",
            Self::NoCgroup => "no_cgroup2",
            Self::Counting { .. } => "not_counting",
            Self::NoInterface { .. } => "no_interface",
            Self::Interface { .. } => "no_hook",
            Self::Map { .. } if self.is(Errno::E2BIG) || self.is(Errno::ENOSPC) => "map_full",
            Self::Map { .. } | Self::Sockets { .. } => "map",
        }
    }

    /// True: that is what the kernel has answered.
    fn is(&self, errno: Errno) -> bool {
        let first: &(dyn std::error::Error + 'static) = self;
        let mut causes = std::iter::successors(Some(first), |error| error.source());
        causes.any(|error| code(error) == Some(errno as i32))
    }
}

/// The kernel's answer in an error of the standard library or of aya.
pub(crate) fn code(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let of = |error: &io::Error| error.raw_os_error();
    error.downcast_ref::<io::Error>().and_then(of).or_else(|| match error.downcast_ref() {
        Some(ProgramError::SyscallError(SyscallError { io_error, .. })) => of(io_error),
        _ => match error.downcast_ref() {
            Some(MapError::SyscallError(SyscallError { io_error, .. })) => of(io_error),
            Some(MapError::CreateError { io_error, .. }) => of(io_error),
            _ => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_has_answered_is_the_reason() {
        let answered = |errno: Errno| io::Error::from_raw_os_error(errno as i32);
        let map = |errno| Error::Map { action: "write", map: "LIMITS", source: answered(errno).into() };
        assert_eq!(map(Errno::E2BIG).reason(), "map_full");
        assert_eq!(map(Errno::EINVAL).reason(), "map");
        let create = MapError::CreateError { name: "LIMITS".to_owned(), io_error: answered(Errno::EPERM) };
        assert_eq!(Error::Load { source: create.into() }.reason(), "not_permitted");
        assert_eq!(Error::NoCgroup.reason(), "no_cgroup2");
    }

    #[test]
    fn a_cause_is_told_once() {
        let below = Error::Netns { source: io::Error::other("deepest") };
        assert_eq!(chain(&below).matches("deepest").count(), 1);
        let map = Error::Map { action: "read", map: "COUNTS", source: Box::new(below) };
        let load = Error::Load { source: Box::new(map) };
        let text = load.to_string();
        assert!(text.contains("COUNTS") && text.matches("deepest").count() == 1, "{text}");
    }
}
