use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;
use manifest::{Diagnostic, Severity};
use serde_json::json;

use super::condition::{self, Complaint};
use crate::{desired, published::DiagnosticLine, status_store::ObjectStatus};

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
    /// Warnings count as errors.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
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
        let checked = desired::check(&self.paths)?;
        let complaints: Vec<(&ObjectStatus, Vec<Complaint>)> = checked
            .statuses
            .iter()
            .map(|status| (status, condition::complaints(&status.document.status)))
            .filter(|(_, complaints)| !complaints.is_empty())
            .collect();
        let count =
            |severity: Severity| checked.diagnostics.iter().filter(|one| one.severity == severity).count();
        let conditions =
            |grave: bool| complaints.iter().flat_map(|(_, all)| all).filter(|one| one.grave == grave).count();
        let errors = count(Severity::Error) + conditions(true);
        let warnings = count(Severity::Warning) + conditions(false);
        match self.output {
            Format::Text => {
                let mut sources = Sources::default();
                checked.diagnostics.iter().for_each(|diagnostic| print(diagnostic, &mut sources));
                complaints.iter().for_each(|(status, complaints)| print_conditions(status, complaints));
                println!(
                    "{} objects with a status, {errors} errors, {warnings} warnings",
                    checked.statuses.len()
                );
            }
            Format::Json => {
                let lines: Vec<DiagnosticLine> =
                    checked.diagnostics.iter().map(DiagnosticLine::from).collect();
                let report = json!({
                    "errors": errors, "warnings": warnings, "diagnostics": lines, "objects": checked.statuses,
                });
                println!("{}", serde_json::to_string_pretty(&report)?);
            }
        }
        Ok(if errors > 0 || (self.strict && warnings > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Texts of the files that diagnostics point into.
#[derive(Default)]
struct Sources(BTreeMap<PathBuf, Option<String>>);

impl Sources {
    fn line(&mut self, file: &Path, number: u32) -> Option<String> {
        let text = self.0.entry(file.to_owned()).or_insert_with(|| {
            let metadata = fs::metadata(file).ok()?;
            (metadata.is_file() && metadata.len() <= 16 << 20).then(|| fs::read_to_string(file).ok())?
        });
        let line = text.as_ref()?.lines().nth(usize::try_from(number).ok()?.checked_sub(1)?)?;
        Some(line.to_owned())
    }
}

fn print(diagnostic: &Diagnostic, sources: &mut Sources) {
    let line = DiagnosticLine::from(diagnostic);
    println!("{}: {}: {} [{}]", line.severity, line.origin, line.message, line.reason);
    if let Some(position) = diagnostic.origin.position
        && let Some(text) = sources.line(&diagnostic.origin.file, position.line)
    {
        // A tab, or a line of a minified file, must not break the picture.
        let text: String = text.replace('\t', " ").chars().take(160).collect();
        let column = usize::try_from(position.column.saturating_sub(1)).unwrap_or(0).min(160);
        println!("  {:>5} | {text}", position.line);
        println!("        | {:column$}^", "");
    }
    let object = line.object.iter().map(String::as_str);
    let about: Vec<&str> = object.chain((!line.field_path.is_empty()).then_some(&*line.field_path)).collect();
    if !about.is_empty() {
        println!("        = in {}", about.join(", "));
    }
}

fn print_conditions(status: &ObjectStatus, complaints: &[Complaint]) {
    println!("{}", status.id);
    for Complaint { place, kind, status, reason, message, grave } in complaints {
        let word = if *grave { "error" } else { "warning" };
        let place = if place.is_empty() { String::new() } else { format!("{place} ") };
        println!("  {word}: {place}{kind}={status} {reason}: {message}");
    }
}
