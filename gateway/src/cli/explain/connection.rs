use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::Args;
use proxy::Explainer;

use super::{Output, misread, print, unreadable};
use crate::{
    admin,
    desired::{self, Translated},
    explain::{Answer, Asked, Context},
    published::State,
};

/// Would a connection be served? Every check that it meets, in order, with what is found, the value in force, and the
/// policy, file and line behind it; then what the client sees.
///
/// Asks the running gateway, with the counts of this moment, and takes nothing. With --config-dir it reads files that
/// nobody needs to serve.
///
/// Exit codes: 0 if it is served, 1 if it is refused or nobody listens, 2 for wrong usage.
#[derive(Debug, Args)]
pub(super) struct Connection {
    /// The client's address, with a port or without.
    #[arg(value_name = "FROM")]
    from: String,
    /// Where it connects to, such as 192.0.2.1:443.
    #[arg(value_name = "TO")]
    to: String,
    /// It sends a PROXY header with this source.
    #[arg(long, value_name = "ADDR")]
    proxy_source: Option<String>,
    /// The server name of its TLS handshake; without it, the way to each listener of the port is shown.
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Read the manifests in this directory, and not what a running gateway has in force.
    #[arg(long, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    /// The running gateway's runtime directory.
    #[arg(long, value_name = "DIR", default_value = "/run/gateway", conflicts_with = "config_dir")]
    runtime_dir: PathBuf,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Connection {
    pub(super) fn run(self) -> Result<ExitCode> {
        let Self { from, to, proxy_source, server_name, config_dir, runtime_dir, output } = self;
        let asked = match Asked::parse(&from, &to, proxy_source.as_deref(), server_name.as_deref()) {
            Ok(asked) => asked,
            Err(wrong) => return Ok(misread(&wrong)),
        };
        let answer = match config_dir {
            Some(directory) => match unreadable(&directory) {
                Some(code) => return Ok(code),
                None => of_files(directory, &asked),
            },
            None => {
                let state = State::of_running(&runtime_dir)?;
                let answer = admin::ask(state.admin, &format!("/explain?{}", asked.query()))?;
                serde_json::from_slice(&answer).context("the running gateway is of another version")?
            }
        };
        print(&answer, output)?;
        Ok(if answer.served { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// What files say that nobody serves.
fn of_files(directory: PathBuf, asked: &Asked) -> Answer {
    let Translated { config, limits, origins, statuses: _, diagnostics: _ } = desired::check(&[directory]).0;
    let explanation = Explainer::explain_unserved(config.clone(), &asked.0);
    let context = Context { config: &config, limits: &limits, origins: &origins, running: None };
    context.answer(asked, &explanation)
}
