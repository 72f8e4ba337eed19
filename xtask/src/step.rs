//! Child commands: each is printed before it runs, and a failure says which step it was, why it was taken and
//! what can be done.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The remedy for a command that says by itself what is wrong.
pub const READ_ABOVE: &str = "the messages above say what is wrong";

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies below the root")
}

/// The directory of build products.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(path) => root().join(path),
        None => root().join("target"),
    }
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// A command by name, started in the root.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// As a shell would have it, environment included.
pub fn printed(command: &Command) -> String {
    let quote = |text: &std::ffi::OsStr| {
        let text = text.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
        if !text.is_empty() && text.chars().all(plain) {
            text.into_owned()
        } else {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
    };
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quote(value?))));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quote);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end. `why` completes "needed to ..."; `remedy` is what to do if it fails.
pub fn run(command: &mut Command, why: &str, remedy: &str) -> Result<()> {
    eprintln!("$ {}", printed(command));
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`, needed to {why}; {remedy}", printed(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status}); it was needed to {why}; {remedy}", printed(command));
    }
    Ok(())
}

/// Runs a command for what it prints, without a word; `None` if it cannot be started or fails.
pub fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// True if a program of that name is on the path.
pub fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|paths| {
        std::env::split_paths(&paths)
            .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
            .any(|directory| directory.join(program).is_file())
    })
}

/// True for root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
