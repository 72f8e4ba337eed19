//! One thread owns the configuration: it waits for changes and signals, and carries out one reload after the
//! other. What changes during a reload waits in the watch and is the next.

mod publish;

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
use proxy::{Options, Proxy, access_log, metrics::ConfigMetrics};

use crate::{
    admin::{Admin, Pages},
    desired::Source,
    kernel::KernelHalf,
    lock::Lock,
    log::{self, Said},
    outcome::Unbound,
    privileges::Privileges,
    published::Shown,
    signals::Signals,
    status_store::StatusStore,
    systemd,
    watch::Watch,
};

/// Everything is looked at again this often, whatever the watch says: for file systems that tell nothing, and
/// for addresses that could not be bound.
const SLOW_POLL: Duration = Duration::from_secs(30);

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
    proxy: Proxy,
    kernel: KernelHalf,
    metrics: ConfigMetrics,
    said: Said,
    store: StatusStore,
    shown: Shown,
    admin: SocketAddr,
    generation: u64,
    config: Arc<ir::Gateway>,
    unbound: Vec<Unbound>,
    _lock: Lock,
}

/// Why the loop has woken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    /// Something in the directory is other than before.
    Changed,
    /// SIGHUP.
    Asked,
    /// The slow poll.
    Time,
    /// SIGTERM or SIGINT.
    Stop,
}

impl Appliance {
    /// Reads, starts the threads and puts the first configuration in force. Errors are what keeps a process from
    /// starting; what is wrong with manifests never is.
    pub(crate) fn start(places: Places, overrides: Overrides, privileges: Privileges) -> Result<Self> {
        let lock = Lock::take(&places.runtime_dir)?;
        let mut watch = Watch::start(&places.config_dir, &places.runtime_dir)?;
        let (mut source, forgotten) = Source::open(&places.config_dir, &places.state_dir);
        let mut desired = source.again(&mut watch);
        overrides.lay_over(&mut desired.config.appliance);
        let settings = &desired.config.appliance;
        log::start(settings.log_format);
        privileges.say(settings.kernel.mode);
        if let Some(forgotten) = forgotten {
            tracing::warn!("{forgotten}");
        }
        let admin = Admin::bind(settings.admin)?;
        let options =
            Options { workers: settings.workers, access_log: access_log::Sink::Stdout, descriptor_cap: None };
        let proxy = Proxy::start(options).context("cannot start the workers")?;
        let pins = places.runtime_dir.join("bpf");
        let kernel = KernelHalf::start(places.bpf_dir.clone(), pins, &desired.config, proxy.metrics())?;
        let shown = Shown::default();
        let mut appliance = Self {
            metrics: ConfigMetrics::new(proxy.metrics()),
            said: Said::default(),
            store: StatusStore::open(&places.runtime_dir),
            admin: admin.address(),
            generation: 0,
            config: Arc::default(),
            unbound: Vec::new(),
            shown: shown.clone(),
            _lock: lock,
            places,
            overrides,
            source,
            watch,
            proxy,
            kernel,
        };
        admin.start(Pages { registry: appliance.proxy.metrics().clone(), shown })?;
        appliance.put_in_force(desired);
        appliance.say_hello();
        systemd::ready(&appliance.summary());
        Ok(appliance)
    }

    /// Reloads until a signal says stop, then drains.
    pub(crate) fn run(mut self, signals: Signals, drain_timeout: Duration) -> Result<()> {
        loop {
            match self.wait(&signals)? {
                Wake::Stop => break,
                Wake::Asked => {
                    systemd::reloading();
                    self.watch.start_afresh();
                    let other_tiers = self.kernel.look_again();
                    self.reload(other_tiers || !self.unbound.is_empty());
                    systemd::ready(&self.summary());
                }
                Wake::Changed => self.reload(false),
                Wake::Time => {
                    self.watch.start_afresh();
                    let other_tiers = self.kernel.look_again();
                    self.reload(other_tiers || !self.unbound.is_empty());
                }
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
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut sources = [
                PollFd::new(self.watch.as_fd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut sources, timeout) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("cannot wait for changes"),
            }
            // Taking is not for nothing: it waits until what the kernel has queued is through.
            let noticed = sources[0].any() == Some(true);
            let asked = signals.take();
            if asked.stop {
                return Ok(Wake::Stop);
            }
            if asked.reload {
                return Ok(Wake::Asked);
            }
            if noticed && self.watch.take() {
                return Ok(Wake::Changed);
            }
            if left.is_zero() {
                return Ok(Wake::Time);
            }
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
            tracing::warn!("the number of workers takes effect at the next start");
        }
        if old.admin != new.admin {
            tracing::warn!("the admin address takes effect at the next start");
        }
    }

    fn say_hello(&self) {
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            config = %self.places.config_dir.display(),
            admin = %self.admin,
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
        let open = self.proxy.open_connections();
        tracing::info!(open, timeout = ?drain_timeout, "stopping: what has begun is finished");
        systemd::stopping(&format!("draining {open} connections"));
        if self.proxy.drain(drain_timeout) {
            tracing::info!("stopped");
        } else {
            tracing::warn!("stopped; connections were cut at the end of the drain time");
        }
        self.kernel.stop();
    }
}
