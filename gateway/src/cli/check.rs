use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use manifest::{Diagnostic, Origin, Severity};
use serde_json::json;

use super::condition::{self, Complaint};
use crate::{
    desired::{self, Translated},
    phases::{Phases, peak_memory, timed},
    published::DiagnosticLine,
    status_store::ObjectStatus,
};

/// Read manifests as the appliance would, and say what is wrong with them. Nothing is served.
///
/// Exit codes: 0 if they are clean or have warnings only, 1 if something would be refused, 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Files and directories; together they are one configuration.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
    /// Say how long reading, parsing, translating and building took, and the most memory that was held.
    #[arg(long)]
    timings: bool,
    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,
}

/// How a command prints what it has found, where that is no objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;

impl Check {
    /// Prints and judges.
    pub(super) fn run(self) -> Result<ExitCode> {
        for path in &self.paths {
            if let Err(error) = fs::metadata(path) {
                eprintln!("gateway: cannot read {}: {error}", path.display());
                return Ok(ExitCode::from(USAGE));
            }
        }
        let Translated { config, statuses, diagnostics, limits: _, origins: _, phases } =
            &mut desired::check(&self.paths);
        if self.timings {
            phases.build = built(std::mem::take(config))?;
        }
        let complaints: Vec<(&ObjectStatus, Vec<Complaint>)> = statuses
            .iter()
            .map(|status| (status, unsaid(status, diagnostics)))
            .filter(|(_, complaints)| !complaints.is_empty())
            .collect();
        let count = |severity: Severity| {
            let said = diagnostics.iter().filter(|one| one.severity == severity).count();
            let unexplained = complaints.iter().filter(|(status, _)| !is_said(status, diagnostics, severity));
            said + unexplained.flat_map(|(_, all)| all).filter(|one| one.severity == severity).count()
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        match self.output {
            Format::Text => {
                let mut sources = Sources::default();
                diagnostics.iter().for_each(|diagnostic| print(diagnostic, &mut sources));
                complaints.iter().for_each(|(status, complaints)| print_conditions(status, complaints));
                println!("{} objects with a status, {errors} errors, {warnings} warnings", statuses.len());
                if self.timings {
                    print_timings(phases);
                }
            }
            Format::Json => {
                let lines: Vec<DiagnosticLine> = diagnostics.iter().map(DiagnosticLine::from).collect();
                let mut report = json!({
                    "errors": errors, "warnings": warnings, "diagnostics": lines, "objects": statuses,
                });
                if self.timings {
                    report["timings"] = phases.document();
                }
                println!("{}", serde_json::to_string_pretty(&report)?);
            }
        }
        Ok(if errors > 0 || (self.strict && warnings > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Builds the tables that requests are looked up in, as a reload does; no address is bound.
fn built(mut config: ir::Gateway) -> Result<Duration> {
    config.binds.iter_mut().for_each(|bind| bind.sockets.clear());
    let options = proxy::Options { workers: Some(1), ..proxy::Options::default() };
    let proxy = proxy::Proxy::start(options).context("cannot start a worker")?;
    let (prepared, time) = timed(|| proxy.prepare(config.into(), 1));
    drop(prepared);
    proxy.drain(Duration::ZERO);
    Ok(time)
}

fn print_timings(phases: &Phases) {
    for (name, time) in &phases.named()[..4] {
        println!("{name:>10} {:8.1} ms", time.as_secs_f64() * 1e3);
    }
    println!("{:>10} {:8.1} ms", "total", phases.total().as_secs_f64() * 1e3);
    println!("{:>10} {:8.1} MiB at most", "memory", peak_memory() as f64 / f64::from(1 << 20));
}

/// Whether a diagnostic explains what is wrong with an object.
fn is_said(status: &ObjectStatus, diagnostics: &[Diagnostic], severity: Severity) -> bool {
    diagnostics.iter().any(|one| one.object.as_ref() == Some(&status.id) && one.severity >= severity)
}

/// What conditions say beyond what diagnostics have said, with its place: consequences, for the most part.
fn unsaid(status: &ObjectStatus, diagnostics: &[Diagnostic]) -> Vec<Complaint> {
    let plain = |text: &str| text.trim_end_matches('.').to_lowercase();
    let own = diagnostics.iter().filter(|one| one.object.as_ref() == Some(&status.id));
    let said: Vec<String> = own.map(|one| plain(&one.message)).collect();
    let mut complaints = condition::complaints(&status.document.status);
    complaints.retain(|complaint| {
        // Each line of a Warning is a diagnostic of its own.
        let is_list = complaint.kind == "Warning" && !said.is_empty();
        !is_list && !said.contains(&plain(&complaint.message))
    });
    complaints
}

/// Texts of the files that diagnostics point into.
#[derive(Default)]
struct Sources(BTreeMap<PathBuf, String>);

impl Sources {
    fn excerpt(&mut self, origin: &Origin) -> String {
        let Some(place) = origin.position else { return String::new() };
        let text =
            self.0.entry(origin.file.to_path_buf()).or_insert_with(|| read(&origin.file).unwrap_or_default());
        manifest::excerpt(text, place)
    }
}

fn read(file: &Path) -> Option<String> {
    let metadata = fs::metadata(file).ok()?;
    (metadata.is_file() && metadata.len() <= 16 << 20).then(|| fs::read_to_string(file).ok())?
}

fn print(diagnostic: &Diagnostic, sources: &mut Sources) {
    println!("{diagnostic}");
    print!("{}", sources.excerpt(&diagnostic.origin));
}

fn print_conditions(status: &ObjectStatus, complaints: &[Complaint]) {
    println!("{}", status.id);
    for Complaint { place, kind, status, reason, message, severity } in complaints {
        let place = if place.is_empty() { String::new() } else { format!("{place} ") };
        println!("  {severity}: {place}{kind}={status} {reason}: {message}");
    }
}
