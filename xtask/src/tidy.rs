//! `cargo xtask tidy`: the house rules that no compiler knows. Each check returns what it found wrong.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::step;

/// Runs every check and prints all that is wrong.
pub fn run() -> Result<()> {
    let metadata = MetadataCommand::new()
        .manifest_path(step::root().join("Cargo.toml"))
        .exec()
        .context("cannot read the workspace: does `cargo metadata` work?")?;
    let files = tracked()?;
    let mut wrong = direction(&metadata);
    wrong.extend(banned(&metadata));
    wrong.extend(top_level(&files));
    wrong.extend(sources(&files)?);
    wrong.extend(binaries(&files));
    wrong.extend(invariants(&files)?);
    for line in &wrong {
        println!("tidy: {line}");
    }
    if !wrong.is_empty() {
        bail!("{} house rules broken", wrong.len());
    }
    println!("tidy: {} files, nothing wrong", files.len());
    Ok(())
}

/// What each of our crates may depend on, among our crates. Tests' own dependencies are free.
const DIRECTION: &[(&str, &[&str])] = &[
    ("ebpf-common", &[]),
    ("ir", &[]),
    ("manifest", &["ir"]),
    ("translate", &["ir", "manifest"]),
    ("proxy", &["ir", "ebpf-common"]),
    ("bpf", &["ebpf-common"]),
    ("gateway", &["ir", "manifest", "translate", "proxy", "bpf"]),
    ("e2e", &["bpf", "ebpf-common"]),
    ("xtask", &[]),
];

/// Crates that only the appliance and the tests may use.
const APPLIANCE_ONLY: &[&str] = &["anyhow", "notify", "clap", "tracing-subscriber"];

fn direction(metadata: &Metadata) -> Vec<String> {
    let ours = |name: &str| DIRECTION.iter().any(|(crate_name, _)| *crate_name == name);
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let Some((_, allowed)) = DIRECTION.iter().find(|(crate_name, _)| *crate_name == name) else {
            wrong
                .push(format!("crate `{name}` has no place in the dependency direction (xtask/src/tidy.rs)"));
            continue;
        };
        let used = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        for dependency in used {
            let other = dependency.name.as_str();
            if ours(other) && !allowed.contains(&other) {
                wrong.push(format!("crate `{name}` must not depend on `{other}`"));
            }
            if APPLIANCE_ONLY.contains(&other) && !["gateway", "e2e", "xtask"].contains(&name) {
                wrong.push(format!("crate `{name}` must not depend on `{other}`: that is the appliance's"));
            }
        }
    }
    wrong
}

fn banned(metadata: &Metadata) -> Vec<String> {
    const BANNED: &[(&str, &str)] = &[
        ("ring", "aws-lc-rs is the only cryptography here; a second provider makes rustls' choice panic"),
        ("openssl-sys", "TLS is rustls"),
        ("protobuf", "prometheus is used without it"),
    ];
    let named = metadata.packages.iter().map(|package| package.name.as_str()).collect::<BTreeSet<_>>();
    let banned = BANNED.iter().filter(|(name, _)| named.contains(name) && is_built(name));
    banned.map(|(name, why)| format!("`{name}` is in the dependency tree: {why}")).collect()
}

/// The lock file names a crate that only a weak feature (`ring?/alloc`) mentions; what is built, for whatever
/// target, is what `cargo tree` finds.
fn is_built(name: &str) -> bool {
    let words = ["tree", "--locked", "--workspace", "--target", "all", "--edges", "all", "--invert", name];
    // A tree that cannot be made is no proof of absence.
    step::output(step::cargo().args(words)).is_none_or(|tree| !tree.trim().is_empty())
}

/// Every file that git tracks or would add.
fn tracked() -> Result<Vec<String>> {
    let mut git = step::command("git");
    let listed = step::output(git.args(["ls-files", "--cached", "--others", "--exclude-standard"]))
        .context("cannot list the files: is this a git checkout?")?;
    let files: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    Ok(files.into_iter().filter(|file| step::root().join(file).is_file()).collect())
}

const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "config",
    "deny.toml",
    "docs",
    "ebpf",
    "gateway",
    "rustfmt.toml",
    "systemd",
    "tests",
    "xtask",
];

fn top_level(files: &[String]) -> Vec<String> {
    let entries: BTreeSet<&str> = files.iter().filter_map(|file| file.split('/').next()).collect();
    let stray = entries.into_iter().filter(|entry| !TOP_LEVEL.contains(entry));
    stray.map(|entry| format!("`{entry}` has no place at the top level")).collect()
}

/// Most code lines of a source file, comments, blank lines and inline tests aside.
const LONGEST: usize = 700;

fn sources(files: &[String]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
        if ["utils", "util", "helpers", "misc", "types", "manager", "common"].contains(&&*stem) {
            wrong.push(format!("{file}: name the file for the noun that it owns"));
        }
        let text =
            fs::read_to_string(step::root().join(file)).with_context(|| format!("cannot read {file}"))?;
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines =
            code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")).count();
        if lines > LONGEST {
            wrong.push(format!("{file}: {lines} code lines, {LONGEST} at most: split it"));
        }
        for attribute in ["#[ignore", "#[allow("] {
            if text.contains(attribute) && !file.starts_with("xtask/") {
                wrong.push(format!(
                    "{file}: `{attribute}` hides something; use #[expect(.., reason)] or repair it"
                ));
            }
        }
    }
    Ok(wrong)
}

fn binaries(files: &[String]) -> Vec<String> {
    let compiled = files.iter().filter(|file| {
        fs::File::open(step::root().join(file))
            .and_then(|mut file| {
                let mut magic = [0; 4];
                std::io::Read::read_exact(&mut file, &mut magic).map(|()| magic)
            })
            .is_ok_and(|magic| magic == *b"\x7fELF")
    });
    compiled.map(|file| format!("{file}: a compiled program is never committed")).collect()
}

/// Each invariant of ARCHITECTURE.md ends in a line "Held by: `name`, ...": a test function, a check of this
/// file, or a lint of the root Cargo.toml or clippy.toml. All of them must exist.
fn invariants(files: &[String]) -> Result<Vec<String>> {
    let read = |file: &str| {
        fs::read_to_string(step::root().join(file)).with_context(|| format!("cannot read {file}"))
    };
    let text = read("ARCHITECTURE.md")?;
    let section = text.split("\n## Invariants").nth(1).and_then(|rest| rest.split("\n## ").next());
    let Some(section) = section else {
        return Ok(vec!["ARCHITECTURE.md has no section \"Invariants\"".to_owned()]);
    };
    let mut known = read("Cargo.toml")? + &read("clippy.toml")?;
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        known += &read(file)?;
    }
    let mut wrong = Vec::new();
    let mut numbered = 0;
    let mut held = 0;
    for line in section.lines() {
        numbered += usize::from(line.starts_with(|c: char| c.is_ascii_digit()));
        let Some((_, names)) = line.split_once("Held by: ") else { continue };
        held += 1;
        for name in names.split('`').skip(1).step_by(2) {
            let last = name.rsplit("::").next().unwrap_or(name);
            let exists = known.contains(&format!("fn {last}(")) || known.contains(&format!("{last} = "));
            if !exists {
                wrong.push(format!(
                    "ARCHITECTURE.md: nothing is called `{name}`, which an invariant is held by"
                ));
            }
        }
    }
    if numbered != held {
        wrong.push(format!("ARCHITECTURE.md: {numbered} invariants, {held} lines \"Held by:\""));
    }
    Ok(wrong)
}
