use std::{
    os::fd::{AsFd, BorrowedFd},
    thread,
};

use anyhow::{Context, Result};
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

/// SIGTERM, SIGINT, SIGHUP and SIGUSR2, as a descriptor to poll. Blocked in every thread: to be made before the first.
#[derive(Debug)]
pub(crate) struct Signals {
    descriptor: SignalFd,
}

/// What the signals that came ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// SIGHUP: read everything again.
    pub(crate) reload: bool,
    /// SIGUSR2: hand over to a successor.
    pub(crate) upgrade: bool,
    /// SIGTERM or SIGINT: finish what has begun and end.
    pub(crate) stop: bool,
}

impl Signals {
    /// Blocks them for this thread and all that it will start.
    pub(crate) fn block() -> Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR2] {
            set.add(signal);
        }
        set.thread_block().context("cannot block signals")?;
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .context("cannot make a descriptor for signals")?;
        Ok(Self { descriptor })
    }

    /// What has been asked for since the last call. Does not wait.
    pub(crate) fn take(&self) -> Asked {
        let mut asked = Asked::default();
        while let Ok(Some(info)) = self.descriptor.read_signal() {
            match i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                Some(Signal::SIGHUP) => asked.reload = true,
                Some(Signal::SIGUSR2) => asked.upgrade = true,
                _ => asked.stop = true,
            }
        }
        asked
    }

    /// From now on a further SIGTERM or SIGINT ends the process at once.
    pub(crate) fn cut_at_the_next(self) -> Result<()> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGTERM);
        set.add(Signal::SIGINT);
        let wait = move || {
            if let Ok(signal) = set.wait() {
                tracing::warn!(%signal, "a second signal: open connections are cut");
                std::process::exit(128 + signal as i32);
            }
        };
        thread::Builder::new()
            .name("second-signal".to_owned())
            .spawn(wait)
            .context("cannot start a thread")?;
        Ok(())
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
