//! `cargo xtask test`: every tier, or one. CI runs this and nothing else.

use std::{collections::BTreeSet, path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, bail};
use cargo_metadata::MetadataCommand;

use crate::{build, conformance, ebpf, go, setup, step, tidy};

/// What to test.
#[derive(clap::Args)]
pub struct Arguments {
    /// One tier only; without it, all of them, in this order
    tier: Option<Tier>,
    /// How long each fuzz target runs, in seconds
    #[arg(long, default_value_t = 60)]
    fuzz_seconds: u32,
    /// Do not install anything that is missing
    #[arg(long)]
    no_setup: bool,
    /// Passed to the test binaries: names of tests
    #[arg(last = true)]
    rest: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Tier {
    /// Formatting, lints, documentation, house rules
    Lint,
    /// Unit, property, golden and component tests of every crate
    Unit,
    /// BPF programs: test runs, and limits on a wire
    Bpf,
    /// The real binary between network namespaces
    E2e,
    /// The same, but for its longest, as the systemd unit has it: its user, capabilities, system-call filter and file system
    Confined,
    /// What a machine may lack, one after the other: what is said, what enforces limits then, and that they hold
    Degraded,
    /// Each command of the README's first five minutes, compared with what it prints
    Readme,
    /// The official Gateway API conformance suite, profile GATEWAY-HTTP; needs Go, and says so where there is none
    Conformance,
    /// Fuzz targets of the parsers
    Fuzz,
}

const ORDER: [Tier; 9] = [
    Tier::Lint,
    Tier::Unit,
    Tier::Bpf,
    Tier::E2e,
    Tier::Confined,
    Tier::Degraded,
    Tier::Readme,
    Tier::Conformance,
    Tier::Fuzz,
];

/// Runs the tiers and closes with a line that counts them.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.no_setup {
        setup::run()?;
    }
    let tiers: &[Tier] = match &arguments.tier {
        Some(tier) => std::slice::from_ref(tier),
        None => &ORDER,
    };
    let (mut failed, mut not_run) = (Vec::new(), 0);
    for tier in tiers {
        if let Some(lack) = tier.lacks(arguments) {
            eprintln!("\n== {tier:?} NOT RUN: {lack}");
            not_run += 1;
            continue;
        }
        let start = Instant::now();
        eprintln!("\n== {tier:?}");
        match tier.run(arguments) {
            Ok(()) => eprintln!("== {tier:?} passed in {} s", start.elapsed().as_secs()),
            Err(error) => {
                eprintln!("== {tier:?} FAILED: {error:#}");
                failed.push(format!("{tier:?}"));
            }
        }
    }
    let passed = tiers.len() - failed.len() - not_run;
    println!("tiers: {passed} passed, {} failed, {not_run} not run", failed.len());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

impl Tier {
    fn run(self, arguments: &Arguments) -> Result<()> {
        match self {
            Self::Lint => lint(),
            Self::Unit => unit(arguments),
            Self::Bpf => privileged("bpf", arguments, &SKIP_DEGRADED, &[]),
            Self::E2e => privileged("e2e", arguments, &SKIP_DEGRADED, &[]),
            Self::Confined => {
                let launcher = step::target().join("debug/unit-user");
                privileged("e2e", arguments, &SKIP_LONG, &[("GATEWAY_LAUNCHER", &launcher)])
            }
            // With launchers of their own.
            Self::Degraded => ["bpf", "e2e"]
                .into_iter()
                .try_for_each(|name| privileged(name, arguments, &["degraded::"], &[])),
            Self::Readme => privileged("readme", arguments, &[], &[]),
            Self::Conformance => conformance::profile(arguments.no_setup),
            Self::Fuzz => fuzz(arguments.fuzz_seconds),
        }
    }

    /// What a machine lacks that this tier cannot do without, where nobody has asked for it by name. No other tier needs
    /// Go, and a distribution's may be too old.
    fn lacks(self, arguments: &Arguments) -> Option<String> {
        let is_required = std::env::var("GATEWAY_TEST_REQUIRE")
            .is_ok_and(|tiers| tiers.split(',').any(|name| name == "conformance"));
        if self != Self::Conformance || arguments.tier.is_some() || is_required {
            return None;
        }
        if arguments.no_setup { go::missing() } else { go::setup().err().map(|error| format!("{error:#}")) }
    }
}

/// Those tests are a tier of their own.
const SKIP_DEGRADED: [&str; 2] = ["--skip", "degraded::"];

/// Nor does a repetition meet a call or a right that the first time did not.
const SKIP_LONG: [&str; 8] =
    ["--skip", "degraded::", "--skip", "twenty_kills", "--skip", "over_kills", "--skip", "10_000"];

fn lint() -> Result<()> {
    let mut format = step::cargo();
    step::run(format.args(["fmt", "--all", "--check"]), "keep one format", "run `cargo fmt --all`")?;
    let mut clippy = step::cargo();
    clippy.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    step::run(&mut clippy, "lint every crate", step::READ_ABOVE)?;
    let mut docs = step::cargo();
    docs.args(["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"]);
    step::run(docs.env("RUSTDOCFLAGS", "-D warnings"), "check the documentation's links", step::READ_ABOVE)?;
    tidy::run()
}

/// Every tier's tests are compiled with all packages selected: another selection has other features, and with them
/// every dependency would be compiled anew.
fn cargo_test() -> Command {
    let mut test = step::cargo();
    test.args(["test", "--locked", "--workspace"]);
    require(&mut test);
    test
}

fn unit(arguments: &Arguments) -> Result<()> {
    let mut test = cargo_test();
    test.args(["--no-fail-fast", "--lib", "--bins"]);
    // The test binaries of the package `e2e` are tiers of their own.
    for name in test_targets(|package| package != "e2e")? {
        test.args(["--test", &name]);
    }
    let why = "run unit, property, golden and component tests";
    step::run(test.arg("--").args(&arguments.rest), why, step::READ_ABOVE)
}

/// The names of the test binaries of some packages.
fn test_targets(of: impl Fn(&str) -> bool) -> Result<BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(step::root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cannot read the workspace: does `cargo metadata` work?")?;
    let packages = metadata.packages.iter().filter(|package| of(&package.name));
    let targets = packages.flat_map(|package| &package.targets).filter(|target| target.is_test());
    Ok(targets.map(|target| target.name.clone()).collect())
}

/// Builds both halves and runs one test binary of the package `e2e`, one test at a time: they share the machine's two
/// cores.
fn privileged(name: &str, arguments: &Arguments, only: &[&str], environment: &[(&str, &Path)]) -> Result<()> {
    build::run(&build::Arguments { release: false })?;
    let programs = ["build", "--locked", "-p", "e2e", "--bins"];
    step::run(step::cargo().args(programs), "build what the tests start", step::READ_ABOVE)?;
    let mut test = cargo_test();
    test.envs(environment.iter().copied());
    test.args(["--test", name]);
    test.env("GATEWAY_BIN", step::target().join("debug/gateway"))
        .env("ECHO_BIN", step::target().join("debug/echo"))
        .env("GATEWAY_BPF_DIR", step::target().join("debug/bpf"));
    test.args(["--", "--test-threads=1"]).args(only).args(&arguments.rest);
    step::run(&mut test, "test against the real kernel", step::READ_ABOVE)
}

/// As root every tier can run, so a skipped test is a failed one.
fn require(command: &mut Command) {
    if std::env::var_os("GATEWAY_TEST_REQUIRE").is_none() && step::is_root() && ebpf::missing().is_empty() {
        command.env("GATEWAY_TEST_REQUIRE", "bpf,netns");
    }
}

const FUZZ_TARGETS: [&str; 5] = ["h1_request", "h1_response", "proxy_protocol", "tlvs", "judge"];

fn fuzz(seconds: u32) -> Result<()> {
    for target in FUZZ_TARGETS {
        let mut fuzz = step::cargo();
        fuzz.args(["run", "--locked", "--release", "--manifest-path", "tests/fuzz/Cargo.toml", "--", target]);
        let remedy = "the input that broke it is in tests/fuzz/artifacts: make it a unit test";
        step::run(fuzz.arg(seconds.to_string()), "look for inputs that break a parser", remedy)?;
    }
    Ok(())
}
