use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use clap::Args;
use manifest::Severity;

use crate::convert::{Conversion, SourceFile, Target, convert};

/// Convert Ingress objects (with annotations of ingress-nginx and of NGINX's own controller) and Traefik's IngressRoutes to
/// HTTPRoutes and the Gateway that they attach to.
///
/// The manifests go to standard output. What cannot be kept, what means something else than before and what is worth
/// knowing goes to standard error, with file, line and field. Services among the files tell which number a named port has,
/// Middlewares what a route asks for; other kinds are passed over, and belong beside the result.
///
/// A rule that cannot be kept whole answers 500: no request gets past a check that is not there any more. What becomes of
/// each annotation, middleware and matcher is in docs/convert.md.
///
/// Exit codes: 0 if all was converted, 1 if something was left out, 2 for wrong usage.
#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// Files and directories (*.yaml, *.yml, *.json); `-`, or none: standard input.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The Gateway that routes attach to; its namespace is by default that of the first object.
    #[arg(long, value_name = "[NAMESPACE/]NAME", default_value = "eg")]
    gateway: String,
    /// The class of that Gateway.
    #[arg(long, value_name = "NAME", default_value = "eg")]
    gateway_class: String,
    /// Write no Gateway: it exists already.
    #[arg(long)]
    routes_only: bool,
    /// Warnings count too: exit with 1 if anything means something else than before.
    #[arg(long)]
    strict: bool,
}

/// Exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;

/// The loader takes no larger file either.
const MAX_BYTES: u64 = 16 << 20;

impl Convert {
    /// Prints what it has made, and what it could not.
    pub(super) fn run(self) -> Result<ExitCode> {
        let files = match self.files() {
            Ok(files) => files,
            Err(error) => {
                eprintln!("gateway: {error:#}");
                return Ok(ExitCode::from(USAGE));
            }
        };
        let (namespace, gateway) = match self.gateway.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name.to_owned()),
            None => (None, self.gateway.clone()),
        };
        let target = Target { namespace, gateway, class: self.gateway_class, exists: self.routes_only };
        let Conversion { documents, converted, diagnostics } = convert(&files, &target);
        for (number, document) in documents.iter().enumerate() {
            let separator = if number == 0 { "" } else { "---\n" };
            print!("{separator}{}", serde_yaml::to_string(document)?);
        }
        diagnostics.iter().for_each(|diagnostic| eprintln!("{diagnostic}"));
        let count = |severity| diagnostics.iter().filter(|one| one.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        eprintln!(
            "{converted} objects converted to {}; {errors} things left out, {warnings} mean something else",
            documents.len()
        );
        Ok(if errors > 0 || (self.strict && warnings > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn files(&self) -> Result<Vec<SourceFile>> {
        let mut files = Vec::new();
        if self.paths.is_empty() {
            files.push(standard_input()?);
        }
        for path in &self.paths {
            if path.as_os_str() == "-" {
                files.push(standard_input()?);
            } else {
                read(path, true, &mut files)?;
            }
        }
        Ok(files)
    }
}

fn standard_input() -> Result<SourceFile> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes).context("cannot read standard input")?;
    Ok(SourceFile { path: Arc::from(Path::new("-")), bytes })
}

/// A file that is named is read whatever its name; of a directory the manifests are.
fn read(path: &Path, named: bool, files: &mut Vec<SourceFile>) -> Result<()> {
    let what = || format!("cannot read {}", path.display());
    if fs::metadata(path).with_context(what)?.is_dir() {
        let entries: io::Result<Vec<_>> = fs::read_dir(path).with_context(what)?.collect();
        let mut below: Vec<PathBuf> =
            entries.with_context(what)?.into_iter().map(|entry| entry.path()).collect();
        below.sort();
        return below.iter().filter(|path| !is_hidden(path)).try_for_each(|path| read(path, false, files));
    }
    let is_manifest =
        path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
    if named || is_manifest {
        let file = fs::File::open(path).with_context(what)?;
        let mut bytes = Vec::new();
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).with_context(what)?;
        files.push(SourceFile { path: Arc::from(path), bytes });
    }
    Ok(())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
