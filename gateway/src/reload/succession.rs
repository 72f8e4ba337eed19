//! Giving up one's place: to a successor, and back from one that is none.

use std::{
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use ir::SocketKey;

use super::Appliance;
use crate::{
    handover::{Estate, Heir, Question, Unfinished},
    signals::Signals,
    systemd,
};

impl Appliance {
    /// Starts a successor and waits until it serves. Where none does, everything is as it was.
    pub(super) fn hand_over(&mut self, signals: &Signals, patience: Duration) -> Result<Heir, Unfinished> {
        tracing::info!(executable = %self.executable.path().display(), "starting a successor");
        let mut heir = Heir::start(&Estate {
            executable: &self.executable,
            lock: self.lock.as_fd(),
            control: self.control.as_fd(),
            admin: self.admin.as_fd(),
            sockets: self.proxy.listening().flat_map(|(_, sockets)| sockets).collect(),
        })?;
        let mut given = Vec::new();
        match self.give(&mut heir, &mut given, signals, patience) {
            Ok(()) => Ok(heir),
            Err(why) => {
                // Not before it holds nothing any more is anything taken back.
                heir.give_up();
                self.take_back(&given);
                Err(why)
            }
        }
    }

    /// Gives up what the successor is ready for: nothing is accepted here while it is told what is counted.
    fn give(
        &mut self,
        heir: &mut Heir,
        given: &mut Vec<SocketKey>,
        signals: &Signals,
        patience: Duration,
    ) -> Result<(), Unfinished> {
        *given = heir.ready(signals, patience)?;
        self.proxy.halt(given);
        self.admin.stop();
        let counts = self.proxy.hand_over_counts(heir.keeper());
        heir.serve(&counts, signals)
    }

    fn take_back(&mut self, given: &[SocketKey]) {
        self.proxy.take_back_counts();
        self.proxy.resume(given);
        self.admin.stop();
        if let Err(error) = self.admin.start(Arc::clone(&self.pages)) {
            tracing::error!("{error:#}");
        }
        self.kernel.retake(&self.config);
        if let Err(error) = self.lock.sign() {
            tracing::error!(%error, "the lock names a process that has ended");
        }
        // It may have told of itself, and files may have changed meanwhile.
        self.watch.start_afresh();
        self.reload(true);
    }

    /// A successor serves: finishes what has begun here, and leaves everything else to it.
    pub(super) fn retire(
        mut self,
        heir: Heir,
        question: Question,
        signals: Signals,
        drain_timeout: Duration,
    ) -> Result<()> {
        let (open, end) = (self.proxy.open_connections(), Instant::now() + drain_timeout);
        let (successor, version) = (heir.pid(), heir.version().to_owned());
        tracing::info!(successor, version, open, timeout = ?drain_timeout, "handed over: what has begun is finished");
        self.watchdog.take();
        systemd::succeeded(successor);
        signals.cut_at_the_next()?;
        heir.release()?;
        question.upgraded(successor, version);
        if self.proxy.retire(drain_timeout) {
            tracing::info!("the last connection has ended");
        } else {
            tracing::warn!("connections were cut at the end of the drain time");
        }
        // What that one counts here, this process tells its successor.
        if self.predecessor.is_some_and(|(_, elder)| !elder.wait(end)) {
            tracing::warn!("connections of the process before this one are cut at the end of the drain time");
        }
        self.kernel.leave();
        Ok(())
    }
}
