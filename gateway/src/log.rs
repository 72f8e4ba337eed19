use std::{collections::BTreeSet, io};

use ir::AccessLogFormat;
use manifest::{Diagnostic, Severity};
use tracing_subscriber::EnvFilter;

/// h2 warns of what a client sends, so that a client could fill the log; notify, of every watched directory that is
/// deleted.
const DEFAULT_LEVELS: &str = "info,h2=error,notify=error";

/// The process's own log: standard error, text or JSON, `GATEWAY_LOG` chooses levels (default `info`).
pub(crate) fn start(format: AccessLogFormat) {
    let filter = EnvFilter::try_from_env("GATEWAY_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_LEVELS));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match format {
        AccessLogFormat::Text => builder.with_ansi(false).init(),
        AccessLogFormat::Json => builder.json().flatten_event(true).init(),
    }
}

/// Logs each diagnostic once: when it appears, and again only after it was gone.
#[derive(Debug, Default)]
pub(crate) struct Said(BTreeSet<Diagnostic>);

impl Said {
    /// Logs those of `diagnostics` that were not there the last time.
    pub(crate) fn say(&mut self, diagnostics: &[Diagnostic]) {
        let now: BTreeSet<Diagnostic> = diagnostics.iter().cloned().collect();
        for diagnostic in now.difference(&self.0) {
            say(diagnostic);
        }
        let gone = self.0.difference(&now).count();
        if gone > 0 {
            tracing::info!(gone, left = now.len(), "diagnostics have gone");
        }
        self.0 = now;
    }
}

fn say(diagnostic: &Diagnostic) {
    let Diagnostic { severity, origin, object, field_path, reason, message } = diagnostic;
    let object = object.as_ref().map(tracing::field::display);
    let field = (!field_path.is_empty()).then_some(field_path);
    match severity {
        Severity::Error => tracing::error!(at = %origin, object, field, reason, "{message}"),
        Severity::Warning => tracing::warn!(at = %origin, object, field, reason, "{message}"),
        Severity::Note => tracing::info!(at = %origin, object, field, reason, "{message}"),
    }
}
