use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors that no client connection is spent on: listening sockets, runtimes, the admin page, files.
const RESERVE: u64 = 128;

/// A client's socket and the backend's.
const PER_CONNECTION: u64 = 2;

/// Raises the soft limit of descriptors to the hard one and returns it.
pub(crate) fn raise_limit() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// Most client connections under a descriptor limit.
pub(crate) fn connection_cap(limit: u64) -> u64 {
    (limit.saturating_sub(RESERVE) / PER_CONNECTION).max(1)
}
