//! `cargo xtask bench`: figures, never tests. The rig that measures peers is not part of the project: where it
//! is not beside the checkout, the tables that need it cannot be made, and that is said.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{build, routes, setup, step};

/// What to measure.
#[derive(clap::Args)]
pub struct Arguments {
    /// Which table, to be written to tests/bench/TABLE.md
    #[arg(value_enum)]
    table: Table,
    /// Passed to the rig, after our own defaults
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Table {
    /// CPU time per unit of work beside other proxies (15 rounds of 0.7 s; needs the rig)
    Peers,
    /// What a refused connection costs the whole machine (needs the rig)
    Refuse,
    /// Nanoseconds per packet of each BPF program beside a bare drop
    Bpf,
    /// What 10,000 HTTPRoutes in 1,000 files cost: from cold, for a change, in memory and per request
    Routes,
}

/// What this version serves, in the rig's words.
const CAPS: &str = "h1,tls,h2,conn,pp,limit,idle,routes,reload";

/// Builds the release profile and measures it.
pub fn run(arguments: &Arguments) -> Result<()> {
    setup::run()?;
    build::run(&build::Arguments { release: true })?;
    match arguments.table {
        Table::Peers => peers(&arguments.rest),
        Table::Refuse => refuse(&arguments.rest),
        Table::Bpf => bpf(&arguments.rest),
        Table::Routes => write("routes", "What 10,000 HTTPRoutes cost", &routes::measure()?),
    }
}

fn peers(rest: &[String]) -> Result<()> {
    let rig = rig("run.py")?;
    let results = step::target().join("peers.jsonl");
    // The rig appends.
    let _ = fs::remove_file(&results);
    let mut run = step::command("python3");
    run.arg(&rig)
        .args(["--rounds", "15", "--secs", "0.7", "--out"])
        .arg(&results)
        .args(["--peers", "nginx131,haproxy,envoy,caddy,traefik,pingora,hyper,gateway"])
        .args(["--scenarios", "h1,h1tls,h2,conn,hs,limit,reload-1000"])
        .env("GATEWAY_CAPS", CAPS)
        .args(rest);
    step::run(&mut run, "measure beside the peers", SET_UP)?;
    let mut report = step::command("python3");
    report.arg(&rig).arg("--report").arg(&results);
    write("peers", "CPU time per unit of work beside other proxies", &printed(&mut report)?)
}

fn refuse(rest: &[String]) -> Result<()> {
    let rig = rig("refuse.py")?;
    let results = step::target().join("refuse.json");
    let gateway = step::target().join("release/gateway");
    let mut run = step::command("python3");
    run.arg(&rig).arg("--out").arg(&results).args(rest).env("GATEWAY_CAPS", CAPS).env(
        "GATEWAY_CMD",
        // Pins need a BPF file system, as the unit mounts it; in a mount namespace that ends with the process.
        format!(
            "unshare --mount sh -c 'mkdir {{state}}/bpf && mount -t bpf bpf {{state}}/bpf && exec {} run \
             --config-dir {{dir}} --state-dir {{state}} --runtime-dir {{state}} \
             --admin 127.0.0.1:{{admin}} --workers {{threads}} --kernel require'",
            gateway.display(),
        ),
    );
    step::run(&mut run, "measure refusals", SET_UP)?;
    let mut report = step::command("python3");
    report.arg(&rig).arg("--report").arg(&results);
    write("refuse", "What a refused connection costs the whole machine", &printed(&mut report)?)
}

fn bpf(rest: &[String]) -> Result<()> {
    let mut run = step::cargo();
    run.args(["run", "--quiet", "--locked", "--release", "-p", "bpf", "--example", "bench_bpf", "--"])
        .env("GATEWAY_BPF_DIR", step::target().join("release/bpf"))
        .args(rest);
    write("bpf", "Nanoseconds per packet of each BPF program", &printed(&mut run)?)
}

const SET_UP: &str = "run the rig's setup.sh once; its README says more";

/// A program of the rig.
fn rig(program: &str) -> Result<PathBuf> {
    let path = step::root().join("../shared/bench").join(program);
    if !path.exists() {
        bail!("the measuring rig is not beside this checkout (looked for {program} in ../shared/bench)");
    }
    Ok(path)
}

/// Runs a command for the table that it prints.
fn printed(command: &mut std::process::Command) -> Result<String> {
    eprintln!("$ {}", step::printed(command));
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("`{}` failed ({}); it was needed to print the table", step::printed(command), output.status);
    }
    String::from_utf8(output.stdout).context("the table is text")
}

fn write(table: &str, title: &str, text: &str) -> Result<()> {
    println!("{text}");
    let path = Path::new("tests/bench").join(format!("{table}.md"));
    let whole = format!(
        "# {title}\n\nMade by `cargo xtask bench {table}`; compare rows of one run only.\n\n{}\n",
        text.trim()
    );
    let place = step::root().join(&path);
    fs::create_dir_all(place.parent().context("a table has a directory")?)?;
    fs::write(&place, whole).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}
