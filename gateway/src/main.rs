//! The appliance: watches a directory of manifests and keeps the data plane at what they ask for.

mod admin;
mod cli;
mod clock;
mod convert;
mod desired;
mod digest;
mod executable;
mod explain;
mod handover;
mod host;
mod kernel;
mod lock;
mod log;
mod outcome;
mod phases;
mod privileges;
mod published;
mod refused;
mod reload;
mod services;
mod signals;
mod status_store;
mod systemd;
mod watch;
mod watchdog;
mod whole_file;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}
