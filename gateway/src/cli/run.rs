use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use ir::{AccessLogFormat, KernelMode};

use crate::{
    privileges::Privileges,
    reload::{Appliance, Origin, Overrides, Places},
    signals::Signals,
};

/// Serve what the manifests in a directory ask for, until SIGTERM or SIGINT.
///
/// Changes in the directory are noticed at once; SIGHUP reads everything again; SIGUSR2 does as `gateway upgrade`. On
/// SIGTERM or SIGINT no new connection is accepted and requests that have begun are finished; a second signal ends the
/// process at once.
/// Flags win over the Appliance object. GATEWAY_LOG sets the log level (error, warn, info, debug).
/// Of its capabilities it keeps CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_NET_BIND_SERVICE, for root too: what it
/// reads must be readable to its user without the privileges of root.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Where the manifests are.
    #[arg(long, value_name = "DIR", default_value = "/etc/gateway")]
    config_dir: PathBuf,
    /// What is remembered over restarts: last good versions of objects, and when each was first seen.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/gateway")]
    state_dir: PathBuf,
    /// Statuses, pins of the kernel half, and the lock that keeps a second instance out.
    #[arg(long, value_name = "DIR", default_value = "/run/gateway")]
    runtime_dir: PathBuf,
    /// Worker threads [default: one per core that the process may use].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Loopback address and port of /metrics, /healthz, /readyz, /status, /refused, /explain and /config_dump; port 0 lets the kernel
    /// choose [default: 127.0.0.1:19000].
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<SocketAddr>,
    /// Whether limits are enforced in the kernel: where it works, never, or not starting without.
    #[arg(long, value_name = "MODE")]
    kernel: Option<Kernel>,
    /// Where the compiled BPF programs are [default: bpf beside the executable, else ../lib/gateway].
    #[arg(long, value_name = "DIR")]
    bpf_dir: Option<PathBuf>,
    /// How lines of the log and the access log look [default: text].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// How long requests may take to finish after SIGTERM or an upgrade, such as 60s or 1m30s; then they are cut.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = super::duration)]
    drain_timeout: Duration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kernel {
    /// The best tier that works; user space where none does.
    Auto,
    /// User space only.
    Off,
    /// End with an error where no kernel tier works.
    Require,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl Run {
    /// Serves until a signal says stop. Errors are of the start only.
    pub(super) fn run(self) -> Result<ExitCode> {
        // Before anything else is opened.
        let origin = Origin::of_this_process()?;
        let signals = Signals::block()?;
        let drain_timeout = self.drain_timeout;
        origin.or_refuse(|origin| self.start(origin))?.run(signals, drain_timeout)?;
        Ok(ExitCode::SUCCESS)
    }

    fn start(self, origin: Origin) -> Result<Appliance> {
        let privileges = Privileges::shed()?;
        check_config_dir(&self.config_dir)?;
        let places = Places {
            config_dir: fs::canonicalize(&self.config_dir)?,
            state_dir: self.state_dir,
            runtime_dir: self.runtime_dir,
            bpf_dir: self.bpf_dir,
        };
        let overrides = Overrides {
            workers: self.workers.map(usize::from),
            admin: self.admin,
            kernel: self.kernel.map(|mode| match mode {
                Kernel::Auto => KernelMode::Auto,
                Kernel::Off => KernelMode::Off,
                Kernel::Require => KernelMode::Require,
            }),
            log_format: self.log_format.map(|format| match format {
                LogFormat::Text => AccessLogFormat::Text,
                LogFormat::Json => AccessLogFormat::Json,
            }),
        };
        Appliance::start(places, overrides, origin, privileges)
    }
}

fn check_config_dir(path: &Path) -> Result<()> {
    let metadata = fs::metadata(path).with_context(|| {
        format!(
            "cannot read the configuration directory {}; make it, or name another with --config-dir",
            path.display()
        )
    })?;
    ensure!(metadata.is_dir(), "the configuration directory {} is a file", path.display());
    fs::read_dir(path)
        .with_context(|| format!("cannot list the configuration directory {}", path.display()))?;
    Ok(())
}
