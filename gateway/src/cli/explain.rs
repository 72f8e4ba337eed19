mod connection;
mod request;

use std::{fs, path::Path, process::ExitCode};

use anyhow::Result;
use clap::{Args, Subcommand};

use super::Output;
use crate::explain::Misread;

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

/// Wrong usage, unless a directory can be read.
fn unreadable(directory: &Path) -> Option<ExitCode> {
    let error = fs::read_dir(directory).err()?;
    eprintln!("gateway: cannot read {}: {error}", directory.display());
    Some(ExitCode::from(USAGE))
}

fn print(answer: &(impl std::fmt::Display + serde::Serialize), output: Output) -> Result<()> {
    match output {
        Output::Text => print!("{answer}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(answer)?),
        Output::Yaml => print!("{}", serde_yaml::to_string(answer)?),
    }
    Ok(())
}
