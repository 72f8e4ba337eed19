//! The command line.

mod check;
mod condition;
mod convert;
mod ebpf;
mod explain;
mod fields;
mod run;
mod status;
mod top;
mod upgrade;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};

/// A Gateway API appliance: serves what the manifests in a directory ask for.
///
/// Drop manifests (*.yaml, *.yml, *.json) into /etc/gateway; each change is live at once, and a mistake is a
/// diagnostic that leaves everything else serving.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Convert(convert::Convert),
    Status(status::Status),
    Fields(fields::Fields),
    Explain(explain::Explain),
    Ebpf(ebpf::Ebpf),
    Upgrade(upgrade::Upgrade),
}

/// How a command prints what it has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For machines.
    Json,
    /// As YAML.
    Yaml,
}

impl Cli {
    /// Runs the command that was asked for.
    pub(crate) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Run(run) => run.run(),
            Command::Check(check) => check.run(),
            Command::Convert(convert) => convert.run(),
            Command::Status(status) => status.run(),
            Command::Fields(fields) => fields.run(),
            Command::Explain(explain) => explain.run(),
            Command::Ebpf(ebpf) => ebpf.run(),
            Command::Upgrade(upgrade) => upgrade.run(),
        }
    }
}

/// True: this kind is asked for, in whatever case, one or many, as kubectl has it.
fn is_kind(kind: &str, asked: &str) -> bool {
    let (kind, asked) = (kind.to_lowercase(), asked.to_lowercase());
    let stem = kind.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    let many = match stem {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    };
    asked == kind || asked == many
}

/// A duration as Gateway API writes it, or a bare number of seconds.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(std::time::Duration::from_secs(seconds.into()));
    }
    text.parse::<ir::Duration>().map(ir::Duration::std).map_err(|error| error.to_string())
}
