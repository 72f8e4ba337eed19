//! `cargo xtask conformance`: the official Gateway API conformance suite against the binary, without a cluster, in
//! a network namespace of its own. `tests/conformance` is what it talks to.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{build, go, setup, step};

/// What to run, against what.
#[derive(clap::Args)]
pub struct Arguments {
    /// A profile (GATEWAY-HTTP, -GRPC, -TLS, -TCP, -UDP), or names of tests, parted by commas
    #[arg(value_name = "PROFILE|TEST", default_value = "GATEWAY-HTTP")]
    what: String,
    /// Another gateway than the one of this checkout; `none`: no gateway, and `frozen`: one whose statuses stop after
    /// the setup, to show that no test passes by itself
    #[arg(long, value_name = "PATH|none|frozen")]
    gateway: Option<String>,
    /// Add tests that pass now to tests/conformance/passing.txt
    #[arg(long)]
    bless: bool,
    /// How long a status or an answer is waited for: a whole run with many failures takes that much for each
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    patience: String,
    /// Where the report is written [default: tests/conformance/reports]
    #[arg(long, value_name = "DIR")]
    reports: Option<PathBuf>,
    /// Do not install anything that is missing
    #[arg(long)]
    no_setup: bool,
}

/// Where everything of a run is.
fn place() -> PathBuf {
    step::target().join("conformance")
}

/// The profile that is served, as a test: the committed report stays as it is.
pub fn profile(no_setup: bool) -> Result<()> {
    run(&Arguments {
        what: "GATEWAY-HTTP".to_owned(),
        gateway: None,
        bless: false,
        patience: "5s".to_owned(),
        reports: Some(place().join("reports")),
        no_setup,
    })
}

/// Checks the harness, builds what takes part, and runs the suite.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.no_setup {
        setup::run()?;
        go::setup()?;
    }
    fs::create_dir_all(place())?;
    if arguments.what.starts_with("GATEWAY-") {
        check()?;
    }
    let built = build()?;
    if arguments.what.starts_with("GATEWAY-") {
        fields(&built)?;
    }
    suite(arguments, &built)
}

/// The harness's own formatting, lints and tests.
fn check() -> Result<()> {
    let mut format = Command::new("gofmt");
    let unformatted = step::output(format.current_dir(go::module()).args(["-l", "."]))
        .context("cannot run gofmt: it comes with Go")?;
    if !unformatted.trim().is_empty() {
        bail!("run `gofmt -w` in tests/conformance: {}", unformatted.trim().replace('\n', ", "));
    }
    step::run(&mut go::go(&["vet", "./..."]), "lint the harness", step::READ_ABOVE)?;
    step::run(&mut go::go(&["test", "./..."]), "test the harness", step::READ_ABOVE)
}

/// The fields that the gateway knows against those of the upstream definitions: a Go module of its own.
fn fields(built: &Built) -> Result<()> {
    let mut test = go::go(&["test", "-count=1", "./..."]);
    test.current_dir(go::module().join("fields")).env("GATEWAY_BIN", &built.gateway);
    step::run(&mut test, "hold the gateway's fields against the upstream definitions", step::READ_ABOVE)
}

/// The programs of a run.
struct Built {
    suite: PathBuf,
    echo: PathBuf,
    gateway: PathBuf,
}

fn build() -> Result<Built> {
    build::user_half(false)?;
    let built = Built {
        suite: place().join("conformance.test"),
        echo: place().join("echo-basic"),
        gateway: step::target().join("debug/gateway"),
    };
    let mut suite = go::go(&["test", "-c", "-o"]);
    step::run(suite.arg(&built.suite).arg("."), "build the suite: minutes at first", step::READ_ABOVE)?;
    let mut echo = go::go(&["build", "-o"]);
    echo.arg(&built.echo).arg("sigs.k8s.io/gateway-api/conformance/echo-basic");
    step::run(&mut echo, "build the suite's own backend", step::READ_ABOVE)?;
    Ok(built)
}

fn suite(arguments: &Arguments, built: &Built) -> Result<()> {
    let definitions = go::directory("sigs.k8s.io/gateway-api")?.join("config/crd/experimental");
    let log = place().join("suite.log");
    let reports = arguments.reports.clone().unwrap_or_else(|| go::module().join("reports"));
    fs::create_dir_all(&reports).with_context(|| format!("cannot make {}", reports.display()))?;
    let gateway = arguments.gateway.clone().map_or_else(|| built.gateway.clone(), PathBuf::from);
    // A namespace of its own has all of 127.0.0.0/8, every port, and goes with its processes.
    let mut run = step::command("unshare");
    if !step::is_root() {
        run.args(["--user", "--map-root-user"]);
    }
    run.arg("--net").arg("--").arg(&built.suite);
    run.args(["-test.run", "^TestConformance$", "-test.v", "-test.timeout", "60m"])
        .args(["-what", &arguments.what, "-patience", &arguments.patience])
        .arg("-gateway")
        .arg(gateway)
        .arg("-echo")
        .arg(&built.echo)
        .arg("-definitions")
        .arg(definitions)
        .arg("-out")
        .arg(place().join("world"))
        .arg("-reports")
        .arg(reports)
        .arg("-ratchet")
        .arg(go::module().join("passing.txt"))
        .env("GATEWAY_BIN", &built.gateway)
        .stdout(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?);
    if arguments.bless {
        run.arg("-bless");
    }
    let remedy = format!(
        "the suite's words are in {}; what became of each object and what the gateway said, in world/ beside it",
        log.display(),
    );
    step::run(&mut run, "run the conformance suite", &remedy)
}
