use std::{net::TcpListener, os::fd::OwnedFd, sync::Arc};

use anyhow::{Context, Result};
use proxy::{
    Options, Proxy, access_log,
    metrics::{ConfigMetrics, WorkerMetrics},
};

use super::{Appliance, Overrides, Places, publish::Coming};
use crate::{
    admin::{Admin, Pages},
    desired::Source,
    executable::Executable,
    handover::{Claim, Control, Legacy},
    host::Events,
    kernel::KernelHalf,
    lock::Lock,
    log::{self, Said},
    privileges::Privileges,
    published::Shown,
    services::ServiceStore,
    status_store::StatusStore,
    systemd,
    watch::Watch,
    watchdog::Watchdog,
};

/// How this process has come to be.
#[derive(Debug)]
pub(crate) struct Origin {
    /// What it was started from.
    executable: Executable,
    /// What a predecessor has left to it.
    legacy: Option<Legacy>,
    /// What the service manager has kept for it, with the names that it was given.
    stored: Vec<(String, OwnedFd)>,
}

impl Origin {
    /// Of this process. To be asked once, before anything is opened or started.
    pub(crate) fn of_this_process() -> Result<Self> {
        let stored = systemd::stored();
        Ok(Self { executable: Executable::of_this_process()?, stored, legacy: Legacy::receive()? })
    }

    /// Does something that keeps a process from starting if it fails; a predecessor is then told why.
    pub(crate) fn or_refuse<T>(self, start: impl FnOnce(Self) -> Result<T>) -> Result<T> {
        let claim = self.legacy.as_ref().map(|legacy| legacy.claim.share()).transpose()?;
        start(self).inspect_err(|error| {
            if let Some(claim) = claim {
                claim.refuse(error);
            }
        })
    }
}

impl Appliance {
    /// Reads, starts the threads and puts the first configuration in force, in the place of a predecessor if there is
    /// one. Errors are what keeps a process from starting; what is wrong with manifests never is.
    pub(crate) fn start(
        places: Places,
        overrides: Overrides,
        origin: Origin,
        privileges: Privileges,
    ) -> Result<Self> {
        let Origin { executable, legacy, stored } = origin;
        let predecessor = legacy.as_ref().map(|legacy| legacy.predecessor);
        let Inherited { claim, lock, control, admin, sockets } = Inherited::take(&places, legacy)?;
        let events = Events::open();
        let mut watch = Watch::start(&places.config_dir, &places.runtime_dir)?;
        let (mut source, forgotten) = Source::open(&places.config_dir, &places.state_dir);
        let mut desired = source.again(&mut watch);
        overrides.lay_over(&mut desired.config.appliance);
        let settings = &desired.config.appliance;
        log::start(settings.log_format);
        privileges.say(settings.kernel.mode);
        events.say();
        if let Some(forgotten) = forgotten {
            tracing::warn!("{forgotten}");
        }
        if let Some(predecessor) = predecessor {
            tracing::info!(predecessor, version = env!("CARGO_PKG_VERSION"), "taking over");
        }
        let admin = match admin {
            Some(listener) => Admin::inherit(listener, settings.admin)?,
            None => Admin::bind(settings.admin)?,
        };
        let options =
            Options { workers: settings.workers, access_log: access_log::Sink::Stdout, descriptor_cap: None };
        let mut proxy = Proxy::start(options).context("cannot start the workers")?;
        let kept = adopt(&mut proxy, sockets, stored);
        let (pins, registry) = (places.runtime_dir.join("bpf"), proxy.metrics());
        let bpf_dir = places.bpf_dir.clone();
        let kernel =
            KernelHalf::start(bpf_dir, pins, &desired.config, registry, claim.is_some(), proxy.teller())?;
        proxy.consult(Arc::new(kernel.callers()));
        let shown = Shown::default();
        let mut appliance = Self {
            metrics: ConfigMetrics::new(registry),
            said: Said::default(),
            store: StatusStore::open(&places.runtime_dir),
            services: ServiceStore::open(&places.runtime_dir),
            pages: Arc::new(Pages {
                registry: registry.clone(),
                shown: shown.clone(),
                sources: proxy.refused_sources(),
            }),
            shown,
            admin,
            generation: 0,
            config: Arc::default(),
            unbound: Vec::new(),
            executable,
            lock,
            control,
            kept,
            watchdog: None,
            predecessor: None,
            places,
            overrides,
            source,
            watch,
            events,
            proxy,
            kernel,
        };
        let coming = appliance.prepare(desired);
        appliance.first(coming, claim)?;
        Ok(appliance)
    }

    /// Puts the first configuration in force, and has whoever needs to know told.
    fn first(&mut self, mut coming: Coming, claim: Option<Claim>) -> Result<()> {
        let claim = match claim {
            Some(mut claim) => {
                let claimed =
                    coming.prepared().map(|prepared| self.proxy.claimed(prepared)).unwrap_or_default();
                let elder = claim.take_over(&claimed, self.proxy.foreign())?;
                Some((claim, elder))
            }
            None => None,
        };
        self.publish(&mut coming);
        self.admin.start(Arc::clone(&self.pages))?;
        if let Some((claim, _)) = &claim {
            claim.serving()?;
        }
        self.lock.sign().context("cannot write the lock")?;
        self.tell(coming);
        self.say_hello();
        let unclaimed = self.proxy.close_unclaimed();
        if let Some((claim, _)) = &claim {
            claim.released();
        }
        self.predecessor = claim;
        for key in &unclaimed {
            tracing::warn!(%key, "no listener is there any more: the socket of the process before is closed");
            self.kept.forget(key);
        }
        self.kept.keep(self.proxy.listening());
        systemd::ready(&self.summary());
        let metrics = WorkerMetrics::new(self.proxy.metrics());
        self.watchdog = Some(Watchdog::start(self.proxy.pulses(), metrics)?);
        Ok(())
    }
}

/// What a process has at its start, from a predecessor or anew.
struct Inherited {
    claim: Option<Claim>,
    lock: Lock,
    control: Control,
    admin: Option<TcpListener>,
    sockets: Vec<OwnedFd>,
}

impl Inherited {
    fn take(places: &Places, legacy: Option<Legacy>) -> Result<Self> {
        Ok(match legacy {
            Some(Legacy { claim, predecessor: _, lock, control, admin, sockets }) => Self {
                claim: Some(claim),
                lock: Lock::inherit(lock),
                control: Control::inherit(&places.runtime_dir, control),
                admin: Some(admin),
                sockets,
            },
            None => Self {
                claim: None,
                lock: Lock::take(&places.runtime_dir)?,
                control: Control::open(&places.runtime_dir)?,
                admin: None,
                sockets: Vec::new(),
            },
        })
    }
}

/// Gives the proxy what it may find a listener for.
fn adopt(proxy: &mut Proxy, sockets: Vec<OwnedFd>, stored: Vec<(String, OwnedFd)>) -> systemd::Store {
    let kept = systemd::Store::default();
    let strange = proxy.adopt(sockets).len();
    if strange > 0 {
        tracing::warn!(strange, "sockets of the predecessor do not listen as ours do, and are closed");
    }
    let (all, mut adopted) = (stored.len(), 0);
    for (name, socket) in stored {
        if proxy.adopt([socket]).is_empty() {
            adopted += 1;
        } else {
            tracing::warn!(
                name,
                "what the service manager has kept does not listen as ours do, and is closed"
            );
            kept.forget_name(&name);
        }
    }
    if all > 0 {
        tracing::info!(sockets = adopted, "the service manager has kept listening sockets");
    }
    kept
}
