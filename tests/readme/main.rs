//! Runs each command of the README's first five minutes against `cargo xtask run`, as a new user would, and
//! compares what comes out with what the README prints. `...` in the README stands for anything.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use e2e::{namespaces, wait};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies below the root")
}

/// A `console` block's command and what it should print.
#[derive(Debug)]
struct Step {
    command: String,
    expected: String,
}

/// Commands of all `console` blocks between the headings.
fn steps(readme: &str) -> Vec<Step> {
    let section = readme.split("## The first five minutes").nth(1).expect("the README has that section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut steps: Vec<Step> = Vec::new();
    for block in section.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let mut command_goes_on = false;
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step { command: command.to_owned(), expected: String::new() });
                command_goes_on = command.ends_with('\\') || command.contains("<<");
            } else if let Some(step) = steps.last_mut() {
                if let Some(more) = line.strip_prefix("> ").filter(|_| command_goes_on) {
                    step.command += "\n";
                    step.command += more;
                } else {
                    command_goes_on = false;
                    step.expected += line;
                    step.expected += "\n";
                }
            }
        }
    }
    steps
}

/// True if the text is the pattern, where `...` stands for any text.
fn agrees(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.trim().split("...");
    let text = text.trim();
    let Some(mut rest) = text.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut last = "";
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
        last = piece;
    }
    rest.is_empty()
        || (last.is_empty() && pattern.trim().ends_with("..."))
        || text.ends_with(last) && !last.is_empty()
}

struct Example(Child);

impl Example {
    /// `cargo xtask run`, up to the line that says what to try.
    fn start() -> Self {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
        let mut child = Command::new(target.join("debug/xtask"))
            .args(["run", "--no-setup"])
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("xtask was built: it runs this test");
        let stdout = child.stdout.take().expect("a pipe");
        let (said, hear) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.contains("Try, from another terminal") {
                    let _ = said.send(());
                }
            }
        });
        let example = Self(child);
        hear.recv_timeout(wait::DEADLINE * 20).expect("the example starts");
        wait::until("the gateway is ready", || {
            let state = root().join("target/run/runtime");
            let status = Command::new(target.join("debug/gateway"))
                .args(["status", "--runtime-dir"])
                .arg(&state)
                .args(["--wait=1s"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .ok()?;
            status.success().then_some(())
        });
        example
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

#[test]
fn each_command_of_the_first_five_minutes_prints_what_the_readme_says() {
    if !namespaces() {
        return;
    }
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let steps = steps(&readme);
    assert!(steps.len() >= 5, "{steps:?}");
    let _example = Example::start();
    for Step { command, expected } in &steps {
        println!("$ {command}");
        let mut shell = Command::new("bash")
            .args(["-c", command])
            .current_dir(root())
            .env("PATH", path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash");
        let (mut out, mut err) = (String::new(), String::new());
        let mut stdout = shell.stdout.take().expect("a pipe");
        stdout.read_to_string(&mut out).expect("text");
        shell.stderr.take().expect("a pipe").read_to_string(&mut err).expect("text");
        let _ = shell.wait();
        let found = out + &err;
        assert!(
            agrees(expected, &found),
            "$ {command}\n--- the README says\n{expected}\n--- it printed\n{found}"
        );
    }
}

/// Programs that a command of the README may name without a path.
fn path() -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", root().join("target/debug").display())
}

#[test]
fn dots_stand_for_anything() {
    assert!(agrees("a ... b\n", "a x y b"));
    assert!(agrees("HTTP/1.1 404 Not Found\n...", "HTTP/1.1 404 Not Found\nx: y\n\n"));
    assert!(agrees("...end", "the end"));
    assert!(!agrees("a ... b", "a x y c"));
    assert!(!agrees("a", "a b"));
}
