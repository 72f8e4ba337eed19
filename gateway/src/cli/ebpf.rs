mod listing;

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use bpf::{Correction, Counted, Inspection, QuotaId};
use clap::{Args, Subcommand};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use super::Output;
use crate::{lock::Lock, published::State};

/// See, correct or end what the kernel half has pinned, with or without a running gateway.
///
/// Takes root, or the gateway's user with CAP_BPF and CAP_NET_ADMIN. Names of interfaces, and what `reset` compares, are
/// those of the network namespace that the command is run in: run it in the gateway's.
///
/// Exit codes: 0 if it was done, 1 if it could not be, 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct Ebpf {
    #[command(subcommand)]
    command: Command,
    /// The gateway's runtime directory; pins are below it, in bpf.
    #[arg(long, value_name = "DIR", default_value = "/run/gateway", global = true)]
    runtime_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show pins, programs, links, interfaces, tiers, and the rows of the maps with what they count.
    ///
    /// Also when no gateway runs: what is pinned goes on counting and refusing.
    Status {
        /// How it is printed.
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
    /// End the links and remove the pins that a gateway has left which is not running any more.
    ///
    /// From then on nothing is counted and nobody is refused by the kernel. The next start begins with counts of zero.
    Detach {
        /// Do it under a running gateway too: it goes on serving and enforces limits at accept, until its next start.
        #[arg(long)]
        force: bool,
    },
    /// Take off the kernel half's counts what no live connection stands behind.
    ///
    /// Compares each count with the kernel's own table of sockets: connections of the listening addresses that are
    /// established, or closed by the client only. A count that is higher becomes what is there; one that is lower stays.
    /// Prints what has changed. Meant for a fault: counts follow connections by themselves.
    Reset {
        /// How it is printed.
        #[arg(long, value_enum, default_value = "text")]
        output: Output,
    },
}

impl Ebpf {
    /// Does as asked, and prints.
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Status { output } => self.status(output)?,
            Command::Detach { force } => self.detach(force)?,
            Command::Reset { output } => self.reset(output)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn status(&self, output: Output) -> Result<()> {
        let layouts = self.layouts()?;
        let (owner, state) = (Lock::holder(&self.runtime_dir), State::read(&self.runtime_dir).ok());
        let names = self.names();
        match output {
            Output::Text => {
                match (owner, &state) {
                    (Some(pid), Some(state)) => println!("kept by process {pid}: {}", state.kernel),
                    (Some(pid), None) => println!("kept by process {pid}"),
                    (None, _) => {
                        println!("kept by nobody: no gateway runs on {}", self.runtime_dir.display())
                    }
                }
                if layouts.is_empty() {
                    println!("nothing is pinned in {}", self.pins().display());
                }
                layouts.iter().for_each(|layout| print!("{}", listing::text(layout, &names)));
            }
            Output::Json | Output::Yaml => {
                let kernel = state.filter(|_| owner.is_some()).map(|state| state.kernel);
                let layouts: Vec<_> = layouts.iter().map(|layout| listing::json(layout, &names)).collect();
                let all =
                    json!({ "pins": self.pins(), "process": owner, "kernel": kernel, "layouts": layouts });
                print(output, &all)?;
            }
        }
        Ok(())
    }

    fn detach(&self, force: bool) -> Result<()> {
        let layouts = self.layouts()?;
        let owner = Lock::holder(&self.runtime_dir);
        if let Some(pid) = owner.filter(|_| !force) {
            bail!(
                "a gateway runs (process {pid}) and ends its own pins when it is stopped; with --force they are ended \
                 now, and it enforces limits at accept only, until its next start"
            );
        }
        bpf::remove(&self.pins()).map_err(told)?;
        if layouts.is_empty() {
            println!("nothing was pinned in {}", self.pins().display());
        }
        for layout in &layouts {
            println!(
                "ended layout {}: {} links, {} maps",
                layout.version,
                layout.links.len(),
                layout.maps.len()
            );
        }
        if let Some(pid) = owner {
            // A reload looks at the kernel half too.
            if kill(Pid::from_raw(pid), Signal::SIGHUP).is_ok() {
                println!("process {pid} has been told: it enforces limits at accept, until its next start");
            }
        }
        Ok(())
    }

    fn reset(&self, output: Output) -> Result<()> {
        // Says what it takes, where this process may not.
        self.layouts()?;
        let (corrections, names) = (bpf::reset(&self.pins()).map_err(told)?, self.names());
        if output != Output::Text {
            let line = |Correction { what, from, to }: &Correction| json!({ "what": counted(what, &names), "from": from, "to": to });
            return print(output, &json!({ "changed": corrections.iter().map(line).collect::<Vec<_>>() }));
        }
        if corrections.is_empty() {
            println!("nothing to change: connections stand behind every count");
        }
        for Correction { what, from, to } in &corrections {
            println!("{}: {from} -> {to}", counted(what, &names));
        }
        Ok(())
    }

    fn layouts(&self) -> Result<Vec<Inspection>> {
        bpf::inspect(&self.pins()).map_err(told)
    }

    fn pins(&self) -> PathBuf {
        self.runtime_dir.join("bpf")
    }

    /// What the binds are called that the last gateway has published.
    fn names(&self) -> Names {
        let listeners = State::read(&self.runtime_dir).map(|state| state.listeners).unwrap_or_default();
        Names(listeners.into_iter().map(|line| (QuotaId::of(&line.bind), line.bind)).collect())
    }
}

/// Its text names every cause already.
fn told(error: bpf::Error) -> anyhow::Error {
    anyhow::Error::msg(error.to_string())
}

/// Names of quotas, `namespace/gateway:port/TCP`.
struct Names(BTreeMap<QuotaId, String>);

impl Names {
    /// The number where the name is not known.
    fn of(&self, quota: QuotaId) -> String {
        self.0.get(&quota).cloned().unwrap_or_else(|| quota.to_string())
    }
}

fn counted(what: &Counted, names: &Names) -> String {
    match what {
        Counted::Quota(quota) => names.of(*quota),
        Counted::Source { address: IpAddr::V4(address), bits: 32 } => address.to_string(),
        Counted::Source { address: IpAddr::V6(address), bits: 128 } => address.to_string(),
        Counted::Source { address, bits } => format!("{address}/{bits}"),
    }
}

fn print(output: Output, value: &serde_json::Value) -> Result<()> {
    match output {
        Output::Yaml => print!("{}", serde_yaml::to_string(value)?),
        Output::Text | Output::Json => println!("{}", serde_json::to_string_pretty(value)?),
    }
    Ok(())
}
