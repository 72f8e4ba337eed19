mod connection;
mod request;

use std::{fmt::Display, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use serde::{Serialize, de::DeserializeOwned};

use super::Output;
use crate::{
    admin,
    desired::{self, Translated},
    explain::{Context, Misread},
    published::State,
};

/// Explain what would become of something, and who has decided so.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Connection(connection::Connection),
    Request(request::Request),
}

/// Exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;

impl Explain {
    /// Prints and judges.
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.what {
            What::Connection(connection) => connection.run(),
            What::Request(request) => request.run(),
        }
    }
}

fn misread(Misread(message): &Misread) -> ExitCode {
    eprintln!("gateway: {message}");
    ExitCode::from(USAGE)
}

/// Whom to ask, and how the answer is printed.
#[derive(Debug, Args)]
struct Asking {
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

impl Asking {
    /// Asks the running gateway for this page, or files that nobody serves, and prints the answer.
    fn ask<A: DeserializeOwned + Display + Serialize>(
        self,
        page: &str,
        of_files: impl FnOnce(&Context<'_>) -> A,
        is_served: impl FnOnce(&A) -> bool,
    ) -> Result<ExitCode> {
        let Self { config_dir, runtime_dir, output } = self;
        let answer = match config_dir {
            Some(directory) => {
                if let Err(error) = fs::read_dir(&directory) {
                    eprintln!("gateway: cannot read {}: {error}", directory.display());
                    return Ok(ExitCode::from(USAGE));
                }
                let Translated { config, limits, origins, statuses: _, diagnostics: _, phases: _ } =
                    desired::check(&[directory]);
                of_files(&Context { config: &config, limits: &limits, origins: &origins, running: None })
            }
            None => {
                let state = State::of_running(&runtime_dir)?;
                let answer = admin::ask(state.admin, page)?;
                serde_json::from_slice(&answer).context("the running gateway is of another version")?
            }
        };
        match output {
            Output::Text => print!("{answer}"),
            Output::Json => println!("{}", serde_json::to_string_pretty(&answer)?),
            Output::Yaml => print!("{}", serde_yaml::to_string(&answer)?),
        }
        Ok(if is_served(&answer) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
