use std::{path::Path, sync::Arc};

use manifest::{ObjectId, raw::Node};

/// One object of a file.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub(super) file: &'a Arc<Path>,
    pub(super) node: &'a Node,
    pub(super) id: ObjectId,
    pub(super) version: &'a str,
}

impl<'a> Object<'a> {
    /// The objects of a document: itself, or the items of a List.
    pub(super) fn of_document(file: &'a Arc<Path>, tree: &'a Node) -> Vec<Self> {
        let text = |key: &str| tree.field(key).and_then(Node::text).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if kind.ends_with("List")
            && let Some(items) = tree.field("items")
        {
            return items.items().iter().flat_map(|item| Self::of_document(file, item)).collect();
        }
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let metadata = tree.field("metadata");
        let named = |key: &str| metadata.and_then(|metadata| metadata.field(key)).and_then(Node::scalar);
        let id = ObjectId {
            kind: kind.into(),
            group: group.into(),
            namespace: named("namespace").unwrap_or("default").into(),
            name: named("name").unwrap_or_default().into(),
        };
        vec![Self { file, node: tree, id, version }]
    }

    /// True for a kind of one of these groups.
    pub(super) fn is(&self, groups: &[&str], kind: &str) -> bool {
        groups.contains(&&*self.id.group) && &*self.id.kind == kind
    }
}
