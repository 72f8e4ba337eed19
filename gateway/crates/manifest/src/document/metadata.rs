use std::{collections::BTreeMap, sync::Arc};

use crate::{
    ObjectId, Timestamp,
    check::{Finding, finding, join},
    node::{Node, Scalar, Value},
};

/// `metadata`, as far as the file has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    pub(crate) created: Option<Timestamp>,
    pub(crate) generation: Option<i64>,
    pub(crate) uid: Option<String>,
}

/// What is known of an object before its metadata is read.
pub(super) struct Identity<'a> {
    pub(super) kind: &'a str,
    pub(super) group: &'a str,
    pub(super) namespaced: bool,
}

/// Reads `metadata`. Without a usable name there is no id, and the findings say why. Other fields of
/// metadata are an API server's business.
pub(super) fn read(
    tree: &Node,
    identity: &Identity<'_>,
    errors: &mut Vec<Finding>,
) -> (Option<ObjectId>, Metadata) {
    let Some(node) = tree.field("metadata").filter(|node| matches!(node.value, Value::Mapping(_))) else {
        let (position, message) = match tree.field("metadata") {
            Some(node) => {
                (node.position, format!("found {}, expected a mapping with a name", node.describe()))
            }
            None => (tree.position, "missing field `metadata`".to_owned()),
        };
        errors.push(finding("metadata", position, "Required", message));
        return (None, Metadata::default());
    };
    let metadata = Metadata {
        labels: texts(node, "labels", errors),
        annotations: texts(node, "annotations", errors),
        created: created(node, errors),
        generation: node.field("generation").and_then(integer),
        uid: node.field("uid").and_then(Node::text).map(str::to_owned),
    };
    let name = name(node, errors);
    let namespace = if identity.namespaced { namespace(node, errors) } else { Some(String::new()) };
    let id = name.zip(namespace).map(|(name, namespace)| ObjectId {
        kind: Arc::from(identity.kind),
        group: Arc::from(identity.group),
        namespace: Arc::from(namespace),
        name: Arc::from(name),
    });
    (id, metadata)
}

fn name(metadata: &Node, errors: &mut Vec<Finding>) -> Option<String> {
    let Some(node) = metadata.field("name") else {
        let message = match metadata.field("generateName") {
            Some(_) => "missing field `name`; `generateName` needs an API server",
            None => "missing field `name`",
        };
        errors.push(finding("metadata.name", metadata.position, "Required", message));
        return None;
    };
    valid(
        node,
        "metadata.name",
        is_subdomain,
        "a name of lower-case letters, digits, `-` and `.` (RFC 1123)",
        errors,
    )
}

fn namespace(metadata: &Node, errors: &mut Vec<Finding>) -> Option<String> {
    let Some(node) = metadata.field("namespace").filter(|node| node.text() != Some("")) else {
        return Some("default".to_owned());
    };
    let expected = "at most 63 lower-case letters, digits and `-` (RFC 1123)";
    valid(node, "metadata.namespace", is_label, expected, errors)
}

fn valid(
    node: &Node,
    path: &str,
    test: fn(&str) -> bool,
    expected: &str,
    errors: &mut Vec<Finding>,
) -> Option<String> {
    let text = node.text().filter(|text| test(text));
    if text.is_none() {
        let quotes = match &node.value {
            Value::Scalar(Scalar::Bool | Scalar::Integer | Scalar::Float, _) => "; write it in quotes",
            _ => "",
        };
        let message = format!("found {}, expected {expected}{quotes}", node.describe());
        errors.push(finding(path, node.position, "InvalidName", message));
    }
    text.map(str::to_owned)
}

/// Labels or annotations.
fn texts(metadata: &Node, name: &str, errors: &mut Vec<Finding>) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let path = format!("metadata.{name}");
    let Some(node) = metadata.field(name) else { return texts };
    if !matches!(node.value, Value::Mapping(_)) {
        let message = format!("found {}, expected a mapping of texts", node.describe());
        errors.push(finding(&path, node.position, "InvalidType", message));
    }
    for entry in node.entries() {
        match (entry.node.text(), entry.node.is_null()) {
            (Some(text), _) => drop(texts.insert(entry.key.to_string(), text.to_owned())),
            (None, true) => drop(texts.insert(entry.key.to_string(), String::new())),
            (None, false) => {
                let message = format!("found {}, expected text: write it in quotes", entry.node.describe());
                errors.push(finding(&join(&path, &entry.key), entry.node.position, "InvalidType", message));
            }
        }
    }
    texts
}

fn created(metadata: &Node, errors: &mut Vec<Finding>) -> Option<Timestamp> {
    let node = metadata.field("creationTimestamp")?;
    let created = node.text().and_then(Timestamp::parse);
    if created.is_none() {
        let message = format!("found {}, expected a time such as 2026-11-24T10:29:00Z", node.describe());
        errors.push(finding("metadata.creationTimestamp", node.position, "InvalidFormat", message));
    }
    created
}

fn integer(node: &Node) -> Option<i64> {
    match &node.value {
        Value::Scalar(Scalar::Integer, text) => text.parse().ok(),
        _ => None,
    }
}

/// RFC 1123 §2.1, lower case, as Kubernetes wants names of objects.
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_part)
}

/// One label of it, as Kubernetes wants names of namespaces.
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_part(text)
}

fn is_part(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
