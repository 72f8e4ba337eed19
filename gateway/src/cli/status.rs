use std::{
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;
use manifest::Severity;
use serde_json::json;

use super::{
    Output,
    condition::{self, Complaint},
    top,
};
use crate::{
    digest::Digests,
    lock::Lock,
    published::{DiagnosticLine, LimitLine, State},
    status_store::{self, Document},
};

/// Is what I dropped in live? Shows what a running gateway has put in force, and what it objects to.
///
/// Exit codes: 0 if all is served as written, 1 if something is not accepted, not yet live or not running,
/// 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Only objects of this kind, such as httproute, or one object: httproute/cafe.
    #[arg(value_name = "KIND[/NAME]")]
    object: Option<String>,
    /// The gateway's runtime directory.
    #[arg(long, value_name = "DIR", default_value = "/run/gateway")]
    runtime_dir: PathBuf,
    /// Who is refused most, by asking the running gateway: that many rows, 20 unless told otherwise. What the kernel
    /// refuses is an estimate from samples.
    #[arg(long, value_name = "ROWS", num_args = 0..=1, require_equals = true, default_missing_value = "20",
          conflicts_with_all = ["object", "wait"])]
    top: Option<usize>,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
    /// Wait until what is on disk is what is in force, 30s unless told otherwise.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "30s",
          value_parser = super::duration)]
    wait: Option<Duration>,
}

/// How often the files are compared while waiting.
const LOOK: Duration = Duration::from_millis(20);

impl Status {
    /// Prints and judges.
    pub(super) fn run(self) -> Result<ExitCode> {
        if let Some(rows) = self.top {
            return top::print(&self.runtime_dir, rows, self.output);
        }
        let (state, stale) = self.state()?;
        let (kind, name) =
            match self.object.as_deref().map(|object| object.split_once('/').unwrap_or((object, ""))) {
                Some((kind, name)) => (kind.to_owned(), name.to_owned()),
                None => Default::default(),
            };
        let mut documents = status_store::read(&self.runtime_dir);
        documents.retain(|document| {
            (kind.is_empty() || super::is_kind(&document.kind, &kind))
                && (name.is_empty() || document.metadata.name == name)
        });
        let running = Lock::is_held(&self.runtime_dir);
        let asked_for_nothing = self.object.is_some() && documents.is_empty();
        match self.output {
            Output::Text => print_text(&state, &documents, running, &stale, self.object.is_none()),
            Output::Json => {
                println!("{}", serde_json::to_string_pretty(&whole(&state, &documents, running, &stale))?)
            }
            Output::Yaml => print!("{}", serde_yaml::to_string(&whole(&state, &documents, running, &stale))?),
        }
        if asked_for_nothing {
            eprintln!("gateway: no object in force is {}", self.object.as_deref().unwrap_or_default());
        }
        let objections = documents.iter().flat_map(|document| condition::complaints(&document.status));
        let refused = objections.into_iter().any(|complaint| complaint.severity == Severity::Error)
            || (self.object.is_none() && state.diagnostics.iter().any(|line| line.severity == "error"));
        let fine = running && stale.is_empty() && !refused && !asked_for_nothing;
        Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// What was published last, and the files that differ from it by now.
    fn state(&self) -> Result<(State, Vec<String>)> {
        let end = Instant::now() + self.wait.unwrap_or_default();
        loop {
            let state = State::read(&self.runtime_dir);
            let stale = state.as_ref().ok().map(|state| {
                let on_disk = Digests::of(&state.config_dir);
                on_disk.differing(&state.files).map(str::to_owned).collect::<Vec<_>>()
            });
            let live = stale.as_ref().is_some_and(Vec::is_empty) && Lock::is_held(&self.runtime_dir);
            if live || Instant::now() >= end {
                let state = state.with_context(|| {
                    format!(
                        "no gateway has published anything in {}; is it running, with this --runtime-dir?",
                        self.runtime_dir.display()
                    )
                })?;
                return Ok((state, stale.unwrap_or_default()));
            }
            thread::sleep(LOOK);
        }
    }
}

fn whole(state: &State, documents: &[Document], running: bool, stale: &[String]) -> serde_json::Value {
    json!({ "running": running, "notYetLive": stale, "state": state, "objects": documents })
}

fn print_text(state: &State, documents: &[Document], running: bool, stale: &[String], all: bool) {
    if all {
        println!(
            "gateway {} (process {}{}), generation {} of {}",
            state.version,
            state.pid,
            if running { "" } else { ", not running" },
            state.generation,
            state.published,
        );
        println!("reads {}, admin page http://{}/", state.config_dir.display(), state.admin);
        println!("kernel: {}", state.kernel);
        for listener in &state.listeners {
            let error =
                listener.error.as_ref().map_or_else(String::new, |error| format!("  NOT BOUND: {error}"));
            println!("listens on {} for {}{error}", listener.address, listener.bind);
        }
        for LimitLine { listener, field, value, policy, origin } in &state.limits {
            println!("limits {listener}: {field} = {value}  ({policy}, {origin})");
        }
        for line in &state.diagnostics {
            print_diagnostic(line);
        }
    }
    for document in documents {
        let namespace =
            document.metadata.namespace.as_ref().map_or_else(String::new, |name| format!("{name}/"));
        println!(
            "{} {namespace}{}  {}",
            document.kind,
            document.metadata.name,
            condition::summary(&document.status)
        );
        for Complaint { place, kind, status, reason, message, .. } in condition::complaints(&document.status)
        {
            let place = if place.is_empty() { String::new() } else { format!("{place} ") };
            println!("    {place}{kind}={status} {reason}: {message}");
        }
    }
    for path in stale {
        println!("not yet live: {path}");
    }
}

fn print_diagnostic(line: &DiagnosticLine) {
    let object = line.object.as_ref().map_or_else(String::new, |object| format!(" {object}:"));
    let field = if line.field_path.is_empty() { String::new() } else { format!(" {}:", line.field_path) };
    println!("{}: {}:{object}{field} {} ({})", line.origin, line.severity, line.message, line.reason);
}
