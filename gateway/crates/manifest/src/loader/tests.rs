use super::*;
use crate::{Diagnostic, Severity, SpecState};

mod disk;
mod force;
mod nasty;
mod order;

const NOW: Timestamp = Timestamp(1_000);

const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: r\nspec:\n  \
                     hostnames: [a.example]\n";

/// A route of that name, with more lines in its spec.
fn route(name: &str, more: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: {name}\nspec:\n  \
         hostnames: [{name}.example]\n{more}"
    )
}

fn texts(texts: &[(&str, &str)]) -> ManifestSet {
    load(&mut Loader::of_paths([]), texts)
}

fn load(loader: &mut Loader, texts: &[(&str, &str)]) -> ManifestSet {
    loader.load_texts(texts.iter().map(|(path, text)| (*path, text.as_bytes())), NOW)
}

fn lines(set: &ManifestSet) -> Vec<String> {
    set.diagnostics.iter().map(Diagnostic::to_string).collect()
}

fn errors(set: &ManifestSet) -> usize {
    set.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
}

fn names(set: &ManifestSet) -> Vec<&str> {
    set.http_routes.iter().map(|route| &*route.id.name).collect()
}
