//! `cargo xtask bench`: figures, never tests. The rig that measures peers is not part of the project: where it
//! is not beside the checkout, the rows that need it are left out, and that is said.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::{build, setup, step};

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which table
    #[arg(value_enum)]
    table: Table,
    /// Passed to the rig
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Table {
    /// CPU time per unit of work beside other proxies (15 rounds of 0.7 s)
    Peers,
    /// Nanoseconds per packet of each BPF program beside a bare drop
    Bpf,
}

/// Builds the release profile and measures it.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::run()?;
    build::run(&build::Arguments { release: true })?;
    match arguments.table {
        Table::Peers => peers(&arguments.rest),
        Table::Bpf => step::run(
            step::cargo()
                .args(["run", "--locked", "--release", "-p", "bpf", "--example", "bench_bpf", "--"])
                .env("GATEWAY_BPF_DIR", step::target().join("release/bpf"))
                .args(&arguments.rest),
            "measure the BPF programs",
            "is this root?",
        ),
    }
}

fn rig() -> PathBuf {
    step::root().join("../shared/bench")
}

fn peers(rest: &[String]) -> Result<()> {
    let rig = rig();
    if !rig.join("run.py").exists() {
        bail!("the measuring rig is not beside this checkout (looked for run.py in ../shared/bench): nothing to compare with");
    }
    let results = step::target().join("peers.jsonl");
    let _ = std::fs::remove_file(&results);
    let mut run = step::command("python3");
    run.arg(rig.join("run.py")).args(["--rounds", "15", "--secs", "0.7", "--out"]).arg(&results);
    let caps = std::env::var("GATEWAY_CAPS").unwrap_or_else(|_| "h1,tls,h2,conn,pp,limit,idle,routes,reload".into());
    run.env("GATEWAY_CAPS", caps).args(rest);
    step::run(&mut run, "measure beside the peers", "run ../shared/bench/setup.sh once; see its README")?;
    let mut report = step::command("python3");
    report.arg(rig.join("run.py")).arg("--report").arg(&results);
    step::run(&mut report, "print the table", "see the rig's README")
}
