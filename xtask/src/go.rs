//! The Go toolchain, which only the conformance suite needs: the suite is a Go module.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{setup, step};

/// The oldest version that builds the suite: what its go.mod says. An older one from 1.21 on fetches it by itself,
/// unless GOTOOLCHAIN forbids it.
const OLDEST: (u32, u32) = (1, 26);

/// Installs Debian's Go where there is none.
pub fn setup() -> Result<()> {
    if !step::on_path("go") {
        setup::packages(["golang-go"])?;
    }
    match missing() {
        None => Ok(()),
        Some(lack) => Err(anyhow::Error::msg(lack)),
    }
}

/// What is missing, with its remedy.
pub fn missing() -> Option<String> {
    let Some(version) = step::output(&mut go(&["env", "GOVERSION"])) else {
        return Some("no Go: install Debian's golang-go, or Go's own distribution".to_owned());
    };
    if number(&version).is_some_and(|version| version >= OLDEST) {
        return None;
    }
    let (major, minor) = OLDEST;
    Some(format!(
        "found {}, the suite needs {major}.{minor} or newer: GOTOOLCHAIN=auto lets Go 1.21 and newer fetch it",
        version.trim(),
    ))
}

/// `go1.26.8` as (1, 26).
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim().strip_prefix("go")?.split(['.', 'r', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The module's directory.
pub fn module() -> PathBuf {
    step::root().join("tests/conformance")
}

/// `go WORDS` in the module, one package at a time: each takes a core and half a gigabyte. GOFLAGS says otherwise.
pub fn go(words: &[&str]) -> Command {
    let mut command = Command::new("go");
    command.current_dir(module()).args(words);
    if std::env::var_os("GOFLAGS").is_none() {
        command.env("GOFLAGS", "-p=1");
    }
    command
}

/// The directory of a module that the module requires, in the module cache.
pub fn directory(required: &str) -> Result<PathBuf> {
    let printed = step::output(&mut go(&["list", "-m", "-f", "{{.Dir}}", required]));
    let printed = printed.map(|printed| printed.trim().to_owned()).filter(|printed| !printed.is_empty());
    printed.map(PathBuf::from).with_context(|| {
        format!("the module {required} is not in the module cache: `go mod download` in tests/conformance fetches it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(number("go1.26.8\n"), Some((1, 26)));
        assert_eq!(number("go1.27rc1"), Some((1, 27)));
        assert!(number("go1.9") < Some(OLDEST));
        assert_eq!(number("devel"), None);
    }
}
