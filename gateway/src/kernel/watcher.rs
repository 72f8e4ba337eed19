use std::{
    os::fd::AsFd,
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use anyhow::{Context, Result};
use bpf::{Events, Kernel, RefusedSegment};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use proxy::{RefusedConnection, Teller};

use super::board::Board;

/// The thread that tells of what the kernel refuses: it waits for events, and gives each the names that the
/// configuration has for it. Dropping it ends it, once all that waits is told.
#[derive(Debug)]
pub(super) struct Watcher {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts it for a kernel half at work.
    pub(super) fn start(kernel: &Kernel, board: &Board, teller: &Teller) -> Result<Self> {
        let events = kernel.events()?;
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let watch = Watch { events, stop: Arc::clone(&stop), board: board.clone(), teller: teller.clone() };
        let thread = Builder::new()
            .name("kernel-events".to_owned())
            .spawn(move || watch.run())
            .context("cannot start a thread")?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        if let Err(error) = self.stop.write(1) {
            return tracing::error!(%error, "cannot end the thread that watches the kernel");
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches the kernel has panicked");
        }
    }
}

struct Watch {
    events: Events,
    stop: Arc<EventFd>,
    board: Board,
    teller: Teller,
}

impl Watch {
    fn run(mut self) {
        loop {
            let stopped = match self.wait() {
                Ok(stopped) => stopped,
                Err(error) => {
                    return tracing::error!(%error, "what the kernel refuses is counted and not told");
                }
            };
            while let Some(refused) = self.events.take() {
                let told = self.tell(&refused);
                self.board.told(told);
            }
            if stopped {
                return;
            }
        }
    }

    /// Waits for events. True: this is the last time.
    fn wait(&self) -> Result<bool, Errno> {
        let mut sources = [
            PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut sources, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(sources[1].any() == Some(true)),
            Err(error) => Err(error),
        }
    }

    /// True: it has its line.
    fn tell(&self, refused: &RefusedSegment) -> bool {
        let RefusedSegment { quota, tier, reason, peer, local, proxied, not_told } = *refused;
        // Whose listener is gone by now has no name any more.
        let Some((names, format)) = self.board.names(quota) else { return false };
        let policy = names.policy(reason);
        let listener = &names.listener;
        let refused = RefusedConnection { listener, tier, reason, policy, peer, local, proxied, not_told };
        self.teller.tell(format, &refused)
    }
}
