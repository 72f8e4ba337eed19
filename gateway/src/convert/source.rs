use std::{path::Path, sync::Arc};

use manifest::{
    Diagnostic,
    raw::{self, Node},
};
use serde_json::Value as Json;

use super::{
    gateway::{Certificates, Target},
    ingress,
    object::Object,
    remarks::Remarks,
    route::Route,
    services::Services,
    traefik,
};

/// A file with manifests.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// As diagnostics name it.
    pub(crate) path: Arc<Path>,
    /// YAML or JSON.
    pub(crate) bytes: Vec<u8>,
}

/// What became of some files.
#[derive(Debug, Default)]
pub(crate) struct Conversion {
    /// The Gateway, grants and HTTPRoutes, in the order of what they were made of.
    pub(crate) documents: Vec<Json>,
    /// How many objects were converted, whole or in part.
    pub(crate) converted: usize,
    /// What was lost (errors), what means something else than before (warnings), what is worth knowing (notes); by file
    /// and place.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Converts every Ingress and IngressRoute in the files. Services among them tell what a port's name means, Middlewares what
/// a route asks for; other kinds are passed over.
pub(crate) fn convert(files: &[SourceFile], target: &Target) -> Conversion {
    let mut remarks = Remarks::default();
    let mut trees: Vec<(&Arc<Path>, Node)> = Vec::new();
    for SourceFile { path, bytes } in files {
        match raw::documents(path, bytes) {
            Ok(documents) => trees.extend(documents.into_iter().map(|tree| (path, tree))),
            Err(diagnostic) => remarks.add(*diagnostic),
        }
    }
    let objects: Vec<Object<'_>> =
        trees.iter().flat_map(|(path, tree)| Object::of_document(path, tree)).collect();
    let services = Services::of(&objects);
    let mut certificates = Certificates::default();
    let mut routes = ingress::routes(&objects, &services, &mut certificates, &mut remarks);
    routes.extend(traefik::routes(&objects, &services, &mut certificates, &mut remarks));
    let sources: Vec<&Object<'_>> =
        objects.iter().filter(|object| ingress::is_one(object) || traefik::is_one(object)).collect();
    let documents = match sources.first() {
        None => Vec::new(),
        Some(first) => {
            let namespace = target.namespace.as_deref().unwrap_or(&first.id.namespace);
            documents(&routes, &certificates, target, namespace, &mut remarks)
        }
    };
    Conversion { documents, converted: sources.len(), diagnostics: remarks.finish() }
}

fn documents(
    routes: &[Route<'_>],
    certificates: &Certificates<'_>,
    target: &Target,
    namespace: &str,
    remarks: &mut Remarks,
) -> Vec<Json> {
    let tls = !certificates.is_empty();
    let all = routes.iter().any(|route| route.namespace != namespace);
    let gateway =
        if target.exists { Vec::new() } else { certificates.documents(target, namespace, all, remarks) };
    gateway
        .into_iter()
        .chain(routes.iter().flat_map(|route| route.documents(target, namespace, tls)))
        .collect()
}
