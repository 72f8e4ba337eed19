//! Looks for bytes that break a parser.
//!
//! `cargo run --release --manifest-path tests/fuzz/Cargo.toml -- TARGET SECONDS [SEED]` mutates the inputs under
//! `corpus/TARGET` for that long; with a file in place of SECONDS it tries that one input. A plain driver on a stable
//! compiler, without coverage: an input that a parser answers in a new way joins the corpus of the run. An input that
//! breaks an invariant is cut down, written to `artifacts`, and ends the run with status 1.
//!
//! The HTTP/1 codec is compiled from its source, since its crate would bring the whole proxy with it; so is the naive
//! reader that its own tests hold it against.

#[expect(dead_code, unused_imports, reason = "the proxy uses what the invariants here do not need")]
#[path = "../../../gateway/crates/proxy/src/http/h1/codec/mod.rs"]
mod codec;
mod corpus;
mod driver;
mod mutate;
mod random;
mod target;
mod targets;

use std::{path::Path, process::ExitCode, time::Duration};

use codec::Framing;
use target::Target;

const USAGE: &str = "usage: fuzz h1_request|h1_response|proxy_protocol|tlvs|judge SECONDS|FILE [SEED]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, what, seed) = match &arguments[..] {
        [name, what] => (name, what, None),
        [name, what, seed] => (name, what, Some(seed)),
        _ => return usage("two or three arguments are needed"),
    };
    let Some(target) = Target::named(name) else { return usage("there is no such target") };
    let seed = match seed.map(|seed| seed.parse::<u64>()) {
        None => random::fresh_seed(),
        Some(Ok(seed)) => seed,
        Some(Err(_)) => return usage("the seed is not a number"),
    };
    let passed = match what.parse() {
        Ok(seconds) => driver::run(target, Duration::from_secs(seconds), seed),
        Err(_) => driver::replay(target, Path::new(what)),
    };
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("{problem}\n{USAGE}");
    ExitCode::from(2)
}
