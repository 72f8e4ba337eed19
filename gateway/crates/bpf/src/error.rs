use std::{io, path::PathBuf};

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
        chain(source.as_ref())
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

#[cfg(test)]
mod tests {
    use super::*;

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
