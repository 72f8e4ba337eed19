//! One thread owns the configuration: it waits for changes and signals, and carries out one reload after the
//! other. What changes during a reload waits in the watch and is the next.

mod publish;
mod start;
mod succession;

use std::{
    net::SocketAddr,
    os::fd::AsFd,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use ir::{AccessLogFormat, KernelMode};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use proxy::{Proxy, metrics::ConfigMetrics};

use crate::{
    admin::{Admin, Pages},
    desired::Source,
    executable::Executable,
    handover::{Claim, Control, Elder, Question, Unfinished},
    host::{Change, Events},
    kernel::KernelHalf,
    lock::Lock,
    log::Said,
    outcome::Unbound,
    published::Shown,
    services::ServiceStore,
    signals::Signals,
    status_store::StatusStore,
    systemd,
    watch::Watch,
    watchdog::Watchdog,
};
pub(crate) use start::Origin;

/// Everything is looked at again this often, whatever watch and host say: for file systems that tell nothing, and for
/// ports that somebody else had.
const SLOW_POLL: Duration = Duration::from_secs(30);

/// After an upgrade to another map layout: how long a freed slot may be unknown to the kernel, as long as connections
/// of before are open.
const CARRY_POLL: Duration = Duration::from_millis(100);

/// The directories of one appliance.
#[derive(Debug)]
pub(crate) struct Places {
    /// Manifests.
    pub(crate) config_dir: PathBuf,
    /// What is remembered over restarts.
    pub(crate) state_dir: PathBuf,
    /// Statuses, pins, lock.
    pub(crate) runtime_dir: PathBuf,
    /// Compiled BPF programs; `None`: where they are installed.
    pub(crate) bpf_dir: Option<PathBuf>,
}

/// Flags that win over the Appliance object.
#[derive(Debug)]
pub(crate) struct Overrides {
    /// `--workers`.
    pub(crate) workers: Option<usize>,
    /// `--admin`.
    pub(crate) admin: Option<SocketAddr>,
    /// `--kernel`.
    pub(crate) kernel: Option<KernelMode>,
    /// `--log-format`.
    pub(crate) log_format: Option<AccessLogFormat>,
}

impl Overrides {
    fn lay_over(&self, appliance: &mut ir::Appliance) {
        let Self { workers, admin, kernel, log_format } = self;
        appliance.workers = workers.or(appliance.workers);
        appliance.admin = admin.unwrap_or(appliance.admin);
        appliance.kernel.mode = kernel.unwrap_or(appliance.kernel.mode);
        appliance.log_format = log_format.unwrap_or(appliance.log_format);
    }
}

/// A running appliance.
pub(crate) struct Appliance {
    places: Places,
    overrides: Overrides,
    source: Source,
    watch: Watch,
    events: Events,
    proxy: Proxy,
    kernel: KernelHalf,
    metrics: ConfigMetrics,
    said: Said,
    store: StatusStore,
    services: ServiceStore,
    shown: Shown,
    admin: Admin,
    pages: Arc<Pages>,
    generation: u64,
    config: Arc<ir::Gateway>,
    unbound: Vec<Unbound>,
    executable: Executable,
    lock: Lock,
    control: Control,
    /// Listening sockets that the service manager keeps too.
    kept: systemd::Store,
    watchdog: Option<Watchdog>,
    /// What this process has taken over from. As long as this lives the other knows that there is a successor.
    predecessor: Option<(Claim, Elder)>,
}

/// Why the loop has woken up.
#[derive(Debug)]
enum Wake {
    /// Something in the directory is other than before.
    Changed,
    /// SIGHUP.
    Asked,
    /// SIGUSR2, or somebody at the control socket.
    Upgrade(Question),
    /// Interfaces or addresses of the host are others than before.
    Host(Change),
    /// The slow poll.
    Time,
    /// SIGTERM or SIGINT.
    Stop,
}

impl Appliance {
    /// Reloads until a signal says stop or a successor serves, then drains.
    pub(crate) fn run(mut self, signals: Signals, drain_timeout: Duration) -> Result<()> {
        loop {
            match self.wait(&signals)? {
                Wake::Stop => break,
                Wake::Upgrade(question) => match self.hand_over(&signals, question.patience()) {
                    Ok(heir) => return self.retire(heir, question, signals, drain_timeout),
                    Err(Unfinished::Stopped) => {
                        question.failed("the gateway was told to stop meanwhile");
                        break;
                    }
                    Err(Unfinished::Failed(error)) => {
                        let why = format!("{error:#}");
                        tracing::error!("no successor has taken over, and this process goes on: {why}");
                        question.failed(&why);
                    }
                },
                Wake::Asked => {
                    systemd::reloading();
                    self.look_again();
                    systemd::ready(&self.summary());
                }
                Wake::Changed => self.reload(false),
                Wake::Host(change) => self.follow_host(change),
                Wake::Time => self.look_again(),
            }
        }
        signals.cut_at_the_next()?;
        self.stop(drain_timeout);
        Ok(())
    }

    fn wait(&mut self, signals: &Signals) -> Result<Wake> {
        let end = Instant::now() + SLOW_POLL;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            self.kernel.carry();
            let pause = if self.kernel.carries() { left.min(CARRY_POLL) } else { left };
            let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX);
            let mut sources = vec![
                PollFd::new(self.watch.as_fd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
            ];
            sources.extend(self.events.descriptor().map(|events| PollFd::new(events, PollFlags::POLLIN)));
            match poll(&mut sources, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("cannot wait for changes"),
            }
            // Taking is not for nothing: it waits until what the kernel has queued is through.
            let (noticed, questioned) = (sources[0].any() == Some(true), sources[2].any() == Some(true));
            let asked = signals.take();
            if asked.stop {
                return Ok(Wake::Stop);
            }
            if asked.reload {
                return Ok(Wake::Asked);
            }
            if asked.upgrade {
                return Ok(Wake::Upgrade(Question::by_signal()));
            }
            if questioned && let Some(question) = self.control.take() {
                return Ok(Wake::Upgrade(question));
            }
            if noticed && self.watch.take() {
                return Ok(Wake::Changed);
            }
            if let Some(change) = self.events.take() {
                return Ok(Wake::Host(change));
            }
            if left.is_zero() {
                return Ok(Wake::Time);
            }
        }
    }

    /// Looks at the files, the interfaces and the addresses, whatever has been told of them.
    fn look_again(&mut self) {
        self.watch.start_afresh();
        let moved = self.events.look_again() == Some(Change::Addresses);
        let other_tiers = self.kernel.look_again();
        self.reload(moved || other_tiers || !self.unbound.is_empty());
    }

    /// The kernel half first: a new interface lets nobody in uncounted. Then what listeners are bound to.
    fn follow_host(&mut self, change: Change) {
        tracing::info!("the host's {change} are others than before");
        let other_tiers = self.kernel.look_again();
        if change == Change::Addresses || other_tiers || !self.unbound.is_empty() {
            self.reload(true);
        }
    }

    /// `again`: put in force what is, even if no file has changed: what could not be bound is tried once more.
    fn reload(&mut self, again: bool) {
        let desired = match self.source.read(&mut self.watch) {
            Some(desired) => desired,
            None if again => self.source.again(&mut self.watch),
            None => return self.metrics.unchanged(),
        };
        self.put_in_force(desired);
    }

    fn say_what_needs_a_restart(&self, new: &ir::Appliance) {
        let old = &self.config.appliance;
        if old.workers != new.workers {
            tracing::warn!("the number of workers takes effect at the next start or upgrade");
        }
        if old.admin != new.admin {
            tracing::warn!("the admin address takes effect at the next start or upgrade");
        }
    }

    fn say_hello(&self) {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            config = %self.places.config_dir.display(),
            admin = %self.admin.address(),
            kernel = self.kernel.line(),
            "serving"
        );
    }

    fn summary(&self) -> String {
        let listeners: usize = self.config.binds.iter().map(|bind| bind.listeners.len()).sum();
        format!(
            "generation {}: {listeners} listeners, {} addresses not bound",
            self.generation,
            self.unbound.len()
        )
    }

    fn stop(self, drain_timeout: Duration) {
        let end = Instant::now() + drain_timeout;
        let open = self.proxy.open_connections();
        tracing::info!(open, timeout = ?drain_timeout, "stopping: what has begun is finished");
        systemd::stopping(&format!("draining {open} connections"));
        if self.proxy.drain(drain_timeout) {
            tracing::info!("stopped");
        } else {
            tracing::warn!("stopped; connections were cut at the end of the drain time");
        }
        self.control.close();
        // It ends when this process does, and its connections are not finished.
        if self.predecessor.is_some_and(|(_, elder)| !elder.wait(end)) {
            tracing::warn!("connections of the process before this one are cut at the end of the drain time");
        }
        self.kernel.stop();
    }
}
