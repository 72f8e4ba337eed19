//! From the raw trees of one file to objects and diagnostics.

mod metadata;

use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::{Arc, OnceLock},
};

use crate::{
    Diagnostic, ObjectId, Origin, Position, Severity,
    check::{Check, Finding, duplicate_keys, finding, join, unknown_field},
    kind,
    known::{KNOWN_KINDS, OUR_GROUPS},
    modelled::{self, MODELLED, Modelled, Spec, api_version},
    nearest::did_you_mean,
    node::{Entry, Node, Scalar, Value},
    yaml::{self, FileError},
};
use metadata::Identity;
pub(crate) use metadata::{Metadata, is_label, is_subdomain};

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct FileRead {
    pub(crate) documents: Vec<Arc<Document>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The file as a whole is refused, and why: the last good objects from it stay.
    pub(crate) broken: Option<String>,
}

/// One object as its file has it.
pub(crate) struct Document {
    pub(crate) id: ObjectId,
    pub(crate) origin: Origin,
    pub(crate) metadata: Metadata,
    /// The raw tree; `None` for directories of keys.
    pub(crate) tree: Option<Arc<Node>>,
    pub(crate) body: Body,
    pub(crate) unserved: Vec<(String, String)>,
    /// The text for the state, made when it is asked for.
    pub(crate) stored: OnceLock<Arc<str>>,
}

/// What the document is about.
pub(crate) enum Body {
    /// A kind that is known and not modelled.
    Unmodelled,
    /// A spec that an API server would take.
    Good(&'static Modelled, Spec),
    /// A spec that an API server would refuse, and why.
    Refused(&'static Modelled, String),
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.id, self.origin)
    }
}

impl FileRead {
    /// A file that cannot be read as a whole.
    pub(crate) fn refused(file: &Arc<Path>, error: FileError) -> Self {
        let origin = Origin { file: Arc::clone(file), position: error.position };
        let broken = Some(format!("{origin}: {}", error.message));
        let diagnostic = Diagnostic {
            severity: Severity::Error,
            origin,
            object: None,
            field_path: String::new(),
            reason: error.reason,
            message: error.message,
        };
        Self { documents: Vec::new(), diagnostics: vec![diagnostic], broken }
    }

    /// Reads the bytes of one manifest file. Documents that stand as they stood in `earlier`, what the same file
    /// said before, are taken from there: in a file of a thousand routes one has changed.
    pub(crate) fn of(file: &Arc<Path>, bytes: &[u8], earlier: Option<&Self>) -> Self {
        match yaml::read(bytes) {
            Err(error) => Self::refused(file, error),
            Ok(trees) => {
                let mut reader = Reader { file, read: Self::default(), noted: BTreeSet::new() };
                let spotless: HashMap<Position, &Arc<Document>> =
                    earlier.into_iter().flat_map(Self::spotless).collect();
                for tree in trees {
                    match spotless.get(&tree.position) {
                        Some(same) if same.tree.as_deref() == Some(&tree) => {
                            reader.read.documents.push(Arc::clone(same));
                        }
                        _ => reader.document(tree, true),
                    }
                }
                reader.read
            }
        }
    }

    /// The documents that gave no diagnostics, each a document of the file by itself, by the place where they start.
    fn spotless(&self) -> impl Iterator<Item = (Position, &Arc<Document>)> {
        let good = |document: &&Arc<Document>| {
            matches!(document.body, Body::Good(..)) && document.unserved.is_empty()
        };
        self.documents.iter().filter(good).filter_map(|document| Some((document.origin.position?, document)))
    }
}

struct Reader<'a> {
    file: &'a Arc<Path>,
    read: FileRead,
    /// Kinds noted already in this file.
    noted: BTreeSet<String>,
}

impl Reader<'_> {
    fn document(&mut self, tree: Node, lists: bool) {
        if !matches!(tree.value, Value::Mapping(_)) {
            let message =
                format!("found {}, expected an object with apiVersion, kind and metadata", tree.describe());
            return self.say(Severity::Error, None, finding("", tree.position, "InvalidType", message));
        }
        let (Some(version), Some(kind)) = (self.text(&tree, "apiVersion"), self.text(&tree, "kind")) else {
            return;
        };
        if lists && kind.ends_with("List") && tree.field("items").is_some() {
            return self.items(tree);
        }
        let (group, version) = version.rsplit_once('/').unwrap_or(("", &version));
        match modelled::find(group, &kind) {
            Some(modelled) => self.modelled(tree, modelled, version),
            None => self.unmodelled(&tree, group, version, &kind),
        }
    }

    /// A required text at the root; says what is wrong with it.
    fn text(&mut self, tree: &Node, name: &'static str) -> Option<String> {
        let problem = match tree.entry(name) {
            Some(Entry { node, .. }) => match node.text().filter(|text| !text.is_empty()) {
                Some(text) => return Some(text.to_owned()),
                None => {
                    let message = format!("found {}, expected text", node.describe());
                    finding(name, node.position, "InvalidType", message)
                }
            },
            None => {
                let close = tree.entries().iter().map(|entry| &*entry.key);
                let hint = match crate::nearest::nearest(name, close) {
                    Some(found) => format!("; is `{found}` meant to be it?"),
                    None => String::new(),
                };
                finding(name, tree.position, "Required", format!("missing field `{name}`{hint}"))
            }
        };
        self.say(Severity::Error, None, problem);
        None
    }

    /// `kind: List`, and the typed lists of an API server.
    fn items(&mut self, tree: Node) {
        let Value::Mapping(entries) = tree.value else { return };
        for Entry { node, .. } in entries.into_iter().filter(|entry| &*entry.key == "items") {
            match node.value {
                Value::Sequence(items) => items.into_iter().for_each(|item| self.document(item, false)),
                _ => {
                    let message = format!("found {}, expected a list", node.describe());
                    self.say(Severity::Error, None, finding("items", node.position, "InvalidType", message));
                }
            }
        }
    }

    fn modelled(&mut self, tree: Node, modelled: &'static Modelled, version: &str) {
        let mut errors = Vec::new();
        let identity =
            Identity { kind: modelled.kind, group: modelled.group, namespaced: modelled.namespaced };
        let (id, metadata) = metadata::read(&tree, &identity, &mut errors);
        if !modelled.versions.contains(&version) {
            let message = format!(
                "{} has no version `{}` here, expected `{}`",
                modelled.kind,
                crate::node::shorten(version),
                modelled.api_version()
            );
            errors.push(finding("apiVersion", tree.nearest("apiVersion"), "UnsupportedVersion", message));
        }
        duplicate_keys(&tree, "", &mut errors);
        if !modelled.core {
            unknown_root_fields(&tree, &mut errors);
        }
        let (spec, unserved) = read_spec(&tree, modelled, &mut errors);
        if modelled.kind == "Secret" {
            conceal(&mut errors);
        }
        errors.sort_by(|a, b| (a.position, &a.path).cmp(&(b.position, &b.path)));
        let why = errors.first().map(|first| {
            let place = Origin { file: Arc::clone(self.file), position: Some(first.position) };
            let path = if first.path.is_empty() { String::new() } else { format!("{}: ", first.path) };
            let more =
                if errors.len() > 1 { format!(" (and {} more)", errors.len() - 1) } else { String::new() };
            format!("{place}: {path}{}{more}", first.message)
        });
        for error in errors {
            self.say(Severity::Error, id.clone(), error);
        }
        for Finding { path, position, message, .. } in &unserved {
            let message = format!("known, but not served: {message}");
            self.say(Severity::Warning, id.clone(), finding(path, *position, "Unserved", message));
        }
        let Some(id) = id else { return };
        let body = match (spec, why) {
            (_, Some(why)) => Body::Refused(modelled, why),
            (Some(spec), None) => Body::Good(modelled, spec),
            (None, None) => Body::Refused(modelled, "refused".to_owned()),
        };
        let unserved = unserved.into_iter().map(|finding| (finding.path, finding.message)).collect();
        self.push(tree, id, metadata, body, unserved);
    }

    fn unmodelled(&mut self, tree: &Node, group: &str, version: &str, kind: &str) {
        let known = KNOWN_KINDS.iter().find(|known| known.kind == kind && known.group == group);
        let position = tree.nearest("kind");
        let Some(known) = known else {
            return self.unknown(tree, group, version, kind);
        };
        if self.noted.insert(format!("{group}/{kind}")) {
            // What belongs to a gateway was written for an effect; the rest only stands in the same files.
            let (severity, message) = match known.unserved() {
                Some(why) => (Severity::Warning, format!("{kind} is known, but not served: {why}")),
                None => (Severity::Note, format!("{kind} is known and has no effect here")),
            };
            self.say(severity, None, finding("kind", position, "UnmodelledKind", message));
        }
        let identity = Identity { kind: known.kind, group: known.group, namespaced: known.namespaced };
        let (id, metadata) = metadata::read(tree, &identity, &mut Vec::new());
        if let Some(id) = id {
            let origin = Origin { file: Arc::clone(self.file), position: Some(tree.position) };
            let document = Document {
                id,
                origin,
                metadata,
                tree: None,
                body: Body::Unmodelled,
                unserved: Vec::new(),
                stored: OnceLock::new(),
            };
            self.read.documents.push(Arc::new(document));
        }
    }

    /// Neither modelled nor known: perhaps misspelt, perhaps somebody else's.
    fn unknown(&mut self, tree: &Node, group: &str, version: &str, kind: &str) {
        let given = crate::node::shorten(&api_version(group, version));
        let elsewhere = MODELLED.iter().find(|modelled| modelled.kind == kind);
        if let Some(modelled) = elsewhere {
            let message = format!("{kind} is not in `{given}`, did you mean `{}`?", modelled.api_version());
            let severity = if group.contains('.') { Severity::Warning } else { Severity::Error };
            return self.say(
                severity,
                None,
                finding("apiVersion", tree.nearest("apiVersion"), "UnknownKind", message),
            );
        }
        let of_group = MODELLED.iter().map(|modelled| (modelled.group, modelled.kind));
        let of_group = of_group.chain(KNOWN_KINDS.iter().map(|known| (known.group, known.kind)));
        let kinds: Vec<&str> =
            of_group.clone().filter(|(of, _)| *of == group).map(|(_, kind)| kind).collect();
        let kinds = if kinds.is_empty() { of_group.map(|(_, kind)| kind).collect() } else { kinds };
        let hint = did_you_mean(kind, kinds);
        let message = format!("unknown kind `{}` in `{given}`{hint}", crate::node::shorten(kind));
        let severity = if OUR_GROUPS.contains(&group) { Severity::Error } else { Severity::Warning };
        self.say(severity, None, finding("kind", tree.nearest("kind"), "UnknownKind", message));
    }

    fn push(
        &mut self,
        tree: Node,
        id: ObjectId,
        metadata: Metadata,
        body: Body,
        unserved: Vec<(String, String)>,
    ) {
        let origin = Origin { file: Arc::clone(self.file), position: Some(tree.position) };
        let tree = Some(Arc::new(tree));
        self.read.documents.push(Arc::new(Document {
            id,
            origin,
            metadata,
            tree,
            body,
            unserved,
            stored: OnceLock::new(),
        }));
    }

    fn say(&mut self, severity: Severity, object: Option<ObjectId>, finding: Finding) {
        let Finding { path, position, reason, message } = finding;
        let origin = Origin { file: Arc::clone(self.file), position: Some(position) };
        self.read.diagnostics.push(Diagnostic {
            severity,
            origin,
            object,
            field_path: path,
            reason,
            message,
        });
    }
}

/// What a Secret holds is not repeated in messages, not even where it is wrong.
fn conceal(errors: &mut [Finding]) {
    let values = |path: &str| path.starts_with("data") || path.starts_with("stringData");
    for error in errors.iter_mut().filter(|error| error.reason == "InvalidType" && values(&error.path)) {
        error.message = "expected text; numbers and booleans need quotes".to_owned();
    }
}

const ROOT_FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

fn unknown_root_fields(tree: &Node, errors: &mut Vec<Finding>) {
    for entry in tree.entries().iter().filter(|entry| !ROOT_FIELDS.contains(&&*entry.key)) {
        let message = unknown_field(&entry.key, ROOT_FIELDS.to_vec());
        errors.push(finding(&entry.key, entry.position, "UnknownField", message));
    }
}

/// Checks and types the spec. What is unserved comes back even where there are errors.
fn read_spec(
    tree: &Node,
    modelled: &'static Modelled,
    errors: &mut Vec<Finding>,
) -> (Option<Spec>, Vec<Finding>) {
    let rest: Node;
    let (node, path) = match (modelled.at_spec, tree.field("spec")) {
        (true, Some(spec)) => (spec, "spec"),
        (true, None) => {
            rest = Node { position: tree.position, value: Value::Mapping(Vec::new()) };
            (&rest, "spec")
        }
        (false, _) => {
            let body = |entry: &&Entry| !["apiVersion", "kind", "metadata", "status"].contains(&&*entry.key);
            let entries = tree.entries().iter().filter(body).cloned().collect();
            rest = Node { position: tree.position, value: Value::Mapping(entries) };
            (&rest, "")
        }
    };
    let findings = Check::new(&modelled.shapes, !modelled.core).run(node, path);
    let structured = findings.errors.is_empty();
    errors.extend(findings.errors);
    if !structured || errors.iter().any(|error| error.reason == "DuplicateKey") {
        return (None, findings.unserved);
    }
    let spec = match (modelled.read)(node.entries()) {
        Err(refused) => {
            for error in refused {
                let path = join_below(path, &error.path);
                let found = tree.at(&path).and_then(Node::text).filter(|_| !modelled.core);
                let found = found.filter(|_| !error.message.contains('`'));
                let message = match found {
                    Some(text) => format!("found `{}`: {}", crate::node::shorten(text), error.message),
                    None => error.message,
                };
                errors.push(finding(&path, tree.nearest(&path), "InvalidValue", message));
            }
            None
        }
        Ok((spec, broken)) => {
            for kind::FieldError { path, message } in broken {
                errors.push(finding(&path, tree.nearest(&path), "InvalidValue", message));
            }
            Some(spec)
        }
    };
    (spec, findings.unserved)
}

fn join_below(path: &str, below: &str) -> String {
    if below.is_empty() { path.to_owned() } else { join(path, below) }
}

impl Document {
    /// An object that did not come from one text: a directory of keys.
    pub(crate) fn of_files(id: ObjectId, file: &Arc<Path>, modelled: &'static Modelled, spec: Spec) -> Self {
        let origin = Origin { file: Arc::clone(file), position: None::<Position> };
        let body = Body::Good(modelled, spec);
        Self {
            id,
            origin,
            metadata: Metadata::default(),
            tree: None,
            body,
            unserved: Vec::new(),
            stored: OnceLock::new(),
        }
    }

    /// Of everything but metadata and status: what a generation counts.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for entry in self.tree.iter().flat_map(|tree| tree.entries()) {
            if !["metadata", "status", "apiVersion"].contains(&&*entry.key) {
                entry.key.hash(&mut hasher);
                hash(&entry.node, &mut hasher);
            }
        }
        hasher.finish()
    }
}

fn hash(node: &Node, hasher: &mut DefaultHasher) {
    match &node.value {
        Value::Scalar(scalar, text) => (scalar_class(*scalar), text).hash(hasher),
        Value::Sequence(items) => {
            (1_u8, items.len()).hash(hasher);
            items.iter().for_each(|item| hash(item, hasher));
        }
        Value::Mapping(entries) => {
            (2_u8, entries.len()).hash(hasher);
            let mut entries: Vec<&Entry> = entries.iter().collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            for entry in entries {
                entry.key.hash(hasher);
                hash(&entry.node, hasher);
            }
        }
    }
}

/// Quotes are no change.
fn scalar_class(scalar: Scalar) -> Scalar {
    if scalar == Scalar::PlainText { Scalar::Text } else { scalar }
}
