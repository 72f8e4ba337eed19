//! Becomes a program as the unit's own user, under its capabilities and system-call filter:
//! `unit-user --unit FILE --own DIRECTORY ... --hide DIRECTORY ... -- PROGRAM ARGUMENTS`. Needs root.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use e2e::unit::{self, Launch};

fn main() -> Result<()> {
    let (mut unit, mut own, mut hidden) = (unit::file(), Vec::new(), Vec::new());
    let mut words = std::env::args().skip(1);
    loop {
        let flag = words.next().context("name a program: unit-user [--unit FILE] [--own DIR] -- PROGRAM")?;
        if flag == "--" {
            break;
        }
        let value = words.next().map(PathBuf::from).with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--unit" => unit = value,
            "--own" => own.push(value),
            "--hide" => hidden.push(value),
            _ => bail!("unknown flag {flag}: --unit FILE, --own and --hide DIRECTORY are known"),
        }
    }
    let program = words.next().map(PathBuf::from).context("name a program behind --")?;
    unit::launch(&Launch { unit, own, hidden, program, arguments: words.collect() })?;
    Ok(())
}
