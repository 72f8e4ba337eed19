//! `cargo xtask test`: every tier, or one. CI runs this and nothing else.

use std::time::Instant;

use anyhow::{Result, bail};

use crate::{build, ebpf, setup, step, tidy};

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
    /// Each command of the README's first five minutes, compared with what it prints
    Readme,
    /// Fuzz targets of the parsers
    Fuzz,
}

const ORDER: [Tier; 6] = [Tier::Lint, Tier::Unit, Tier::Bpf, Tier::E2e, Tier::Readme, Tier::Fuzz];

/// Runs the tiers and closes with a line that counts them.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.no_setup {
        setup::run()?;
    }
    let tiers: &[Tier] = match &arguments.tier {
        Some(tier) => std::slice::from_ref(tier),
        None => &ORDER,
    };
    let mut failed = Vec::new();
    for tier in tiers {
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
    println!("tiers: {} passed, {} failed", tiers.len() - failed.len(), failed.len());
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
            Self::Bpf => {
                build::run(&build::Arguments { release: false })?;
                privileged("bpf", arguments)
            }
            Self::E2e => {
                build::run(&build::Arguments { release: false })?;
                privileged("e2e", arguments)
            }
            Self::Readme => {
                build::run(&build::Arguments { release: false })?;
                privileged("readme", arguments)
            }
            Self::Fuzz => fuzz(arguments.fuzz_seconds),
        }
    }
}

const READ_ABOVE: &str = "the messages above say what is wrong";

fn lint() -> Result<()> {
    let mut format = step::cargo();
    step::run(format.args(["fmt", "--all", "--check"]), "keep one format", "run `cargo fmt --all`")?;
    let mut clippy = step::cargo();
    clippy.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    step::run(&mut clippy, "lint every crate", READ_ABOVE)?;
    let mut docs = step::cargo();
    docs.args(["doc", "--locked", "--workspace", "--no-deps", "--document-private-items"]);
    step::run(docs.env("RUSTDOCFLAGS", "-D warnings"), "check the documentation's links", READ_ABOVE)?;
    tidy::run()
}

fn unit(arguments: &Arguments) -> Result<()> {
    // The appliance's own tests start its binary; the e2e package's library is tested with it.
    let mut test = step::cargo();
    test.args(["test", "--locked", "--workspace", "--lib", "--bins"]);
    require(&mut test);
    step::run(test.arg("--").args(&arguments.rest), "run unit and property tests", READ_ABOVE)?;
    let mut test = step::cargo();
    test.args(["test", "--locked", "--tests", "--no-fail-fast"]);
    for package in ["gateway", "translate", "manifest", "proxy", "bpf", "ebpf-common", "ir"] {
        test.args(["-p", package]);
    }
    require(&mut test);
    step::run(test.arg("--").args(&arguments.rest), "run golden and component tests", READ_ABOVE)
}

/// Runs one test binary of the package `e2e`, one test at a time: they share the machine's two cores.
fn privileged(name: &str, arguments: &Arguments) -> Result<()> {
    let echo = ["build", "--locked", "-p", "e2e", "--bin", "echo"];
    step::run(step::cargo().args(echo), "build the echo backend", READ_ABOVE)?;
    let mut test = step::cargo();
    test.args(["test", "--locked", "-p", "e2e", "--test", name]);
    require(&mut test);
    test.env("GATEWAY_BIN", step::target().join("debug/gateway"))
        .env("ECHO_BIN", step::target().join("debug/echo"))
        .env("GATEWAY_BPF_DIR", step::target().join("debug/bpf"));
    test.args(["--", "--test-threads=1"]).args(&arguments.rest);
    step::run(&mut test, "test against the real kernel", READ_ABOVE)
}

/// As root every tier can run, so a skipped test is a failed one.
fn require(command: &mut std::process::Command) {
    if std::env::var_os("GATEWAY_TEST_REQUIRE").is_none() && step::is_root() && ebpf::missing().is_empty() {
        command.env("GATEWAY_TEST_REQUIRE", "bpf,netns");
    }
}

const FUZZ_TARGETS: [&str; 3] = ["h1_request", "h1_response", "proxy_protocol"];

fn fuzz(seconds: u32) -> Result<()> {
    for target in FUZZ_TARGETS {
        let mut fuzz = step::cargo();
        fuzz.args(["run", "--locked", "--release", "--manifest-path", "tests/fuzz/Cargo.toml", "--", target]);
        let remedy = "the input that broke it is in tests/fuzz/artifacts: make it a unit test";
        step::run(fuzz.arg(seconds.to_string()), "look for inputs that break a parser", remedy)?;
    }
    Ok(())
}
