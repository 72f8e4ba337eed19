use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use clap::Args;

use crate::handover::{Answer, Request, ask};

/// Have a running gateway replaced by what its executable is now, without refusing a connection.
///
/// The running process starts a successor with its own arguments, from the path that it was started from, and hands over
/// its listening sockets and what it counts. Connections that are open go on in the old process until they have ended,
/// for as long as --drain-timeout of `gateway run` says; limits hold for both together. If the successor cannot serve,
/// the old process goes on as before.
///
/// Exit codes: 0 if the successor serves, 1 if it does not (then nothing has changed), 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct Upgrade {
    /// The gateway's runtime directory.
    #[arg(long, value_name = "DIR", default_value = "/run/gateway")]
    runtime_dir: PathBuf,
    /// How long the successor may take until it is ready; then it is ended.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = super::duration)]
    timeout: Duration,
}

impl Upgrade {
    /// Asks, waits and prints.
    pub(super) fn run(self) -> Result<ExitCode> {
        let patience = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        match ask(&self.runtime_dir, &Request::Upgrade { patience })? {
            Answer::Upgraded { pid, version, predecessor } => {
                println!("gateway {version} (process {pid}) has taken over from process {predecessor}");
                Ok(ExitCode::SUCCESS)
            }
            Answer::Failed { why } => bail!("not upgraded, and the running process goes on: {why}"),
        }
    }
}
