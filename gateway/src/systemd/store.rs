use std::{
    collections::BTreeSet,
    env,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use ir::SocketKey;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::notify::send_with;

/// The first descriptor that a service manager passes. Source: `SD_LISTEN_FDS_START` in sd_listen_fds(3).
const FIRST: RawFd = 3;

/// Descriptors in one message. Source: the kernel lets in 253 (`SCM_MAX_FD` in `include/net/scm.h`).
const BATCH: usize = 128;

/// Descriptors that the service manager has kept for this process, with the names that it was given. To be called
/// once, before anything is opened: they are this process's from then on, and not inherited by what it starts.
pub(crate) fn stored() -> Vec<(String, OwnedFd)> {
    let number = |name| env::var(name).ok()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0);
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let mut all = Vec::new();
    for raw in (FIRST..).zip(0..count).map(|(raw, _)| raw) {
        let name = names.next().unwrap_or_default();
        // SAFETY: the service manager has opened it for this process, as LISTEN_PID says, and nobody has taken it yet. One
        // that is not open is only asked, which fails.
        let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
        if fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_ok() {
            // SAFETY: it is open, and nobody else's, as above.
            all.push((name, unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    all
}

/// The listening sockets that the service manager keeps open for the next process, in case this one is killed. Needs
/// `FileDescriptorStoreMax=`; without it the service manager closes what it is sent.
#[derive(Debug, Default)]
pub(crate) struct Store(BTreeSet<SocketKey>);

impl Store {
    /// Has these kept and no others. What is kept already is not sent again.
    pub(crate) fn keep<'a, S: Iterator<Item = BorrowedFd<'a>>>(
        &mut self,
        sockets: impl Iterator<Item = (SocketKey, S)>,
    ) {
        let mut now = BTreeSet::new();
        for (key, sockets) in sockets {
            if !self.0.contains(&key) {
                let message = format!("FDSTORE=1\nFDNAME={}", name(&key));
                let sockets: Vec<BorrowedFd<'a>> = sockets.collect();
                sockets.chunks(BATCH).for_each(|batch| send_with(&message, batch));
            }
            now.insert(key);
        }
        for gone in self.0.difference(&now) {
            self.forget(gone);
        }
        self.0 = now;
    }

    /// Has one kept no longer.
    pub(crate) fn forget(&self, key: &SocketKey) {
        self.forget_name(&name(key));
    }

    /// The same by its name.
    pub(crate) fn forget_name(&self, name: &str) {
        send_with(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[]);
    }
}

/// All sockets of a key have one name. Names have no colon (sd_pid_notify_with_fds(3)).
fn name(key: &SocketKey) -> String {
    key.to_string().replace(':', ".")
}

#[cfg(test)]
mod tests {
    use ir::Transport;

    use super::*;

    #[test]
    fn names_are_what_the_service_manager_takes() {
        for (address, expected) in
            [("192.0.2.1", "192.0.2.1.443/TCP"), ("2001:db8::1", "[2001.db8..1].443/TCP")]
        {
            let address = address.parse().expect("an address");
            let name = name(&SocketKey { transport: Transport::Tcp, address, port: 443 });
            assert_eq!(name, expected);
            assert!(name.len() <= 255 && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':'));
        }
    }

    #[test]
    fn without_a_service_manager_nothing_is_stored() {
        assert!(stored().is_empty());
        assert_eq!(super::super::watchdog(), None);
    }
}
