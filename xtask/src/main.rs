//! The project's own commands: everything that a developer, a new user and CI do goes through here.
//! `cargo xtask --help` lists them; each lives in a file of its own.

mod bench;
mod build;
mod conformance;
mod doctor;
mod ebpf;
mod go;
mod namespace;
mod routes;
mod run;
mod setup;
mod step;
mod test;
mod tidy;

use clap::{Parser, Subcommand};

/// Build, run and test the gateway.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what this machine lacks, why it matters, and how to get it
    Doctor,
    /// Install what is missing: Debian packages, the BPF compiler and linker
    Setup,
    /// Build both halves: the appliance and its BPF programs
    Build(build::Arguments),
    /// Start the founding example in a network namespace of its own and print what to try
    Run(run::Arguments),
    /// Run the tests: all tiers, or one
    Test(test::Arguments),
    /// Run the official Gateway API conformance suite, without a cluster: a profile, or some of its tests
    Conformance(conformance::Arguments),
    /// Check the house rules that no compiler knows
    Tidy,
    /// Measure; needs the measuring rig for some rows
    Bench(bench::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Doctor => doctor::run(),
        Command::Setup => setup::run(),
        Command::Build(arguments) => build::run(&arguments).map(drop),
        Command::Run(arguments) => run::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::Tidy => tidy::run(),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}
