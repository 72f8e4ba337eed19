use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::{
    kind::UNSERVED,
    known::KNOWN_KINDS,
    modelled::{MODELLED, Modelled},
};

/// A modelled kind and every field of it that we know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindFields {
    /// `kind`.
    pub kind: &'static str,
    /// The part of `apiVersion` before the slash; empty for the core group.
    pub group: &'static str,
    /// The parts of `apiVersion` after the slash that are read, the preferred one first.
    pub versions: &'static [&'static str],
    /// Its documentation, one paragraph.
    pub description: String,
    /// True: a kind of Kubernetes itself, of which only the fields listed here are read.
    pub partial: bool,
    /// Parents before their members, members in the order of their documentation.
    pub fields: Vec<Field>,
}

/// One field, as the derived schema describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// From the document's root: `spec.rules[].matches[].path.type`. `[]` is any element of a list, `{}` any value of
    /// a mapping with free keys.
    pub path: String,
    /// `string`, `integer`, `boolean`, `number`, `object`, `any`, or `[]` or `{}` before what is in it.
    pub shape: String,
    /// Its documentation, one paragraph.
    pub description: String,
    /// The only values, where there are few; empty: others too.
    pub values: Vec<String>,
    /// Why it is not served, with everything below it; `None`: it is.
    pub unserved: Option<String>,
}

/// Every modelled kind, in a fixed order.
pub fn fields() -> Vec<KindFields> {
    MODELLED.iter().map(of_kind).collect()
}

/// A kind of a gateway's that is known and not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnservedKind {
    /// `kind`.
    pub kind: &'static str,
    /// The part of `apiVersion` before the slash.
    pub group: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Every kind of Gateway API's and Envoy Gateway's that has no effect here.
pub fn unserved_kinds() -> Vec<UnservedKind> {
    let unserved = KNOWN_KINDS.iter().filter_map(|known| Some((known, known.unserved()?)));
    unserved.map(|(known, reason)| UnservedKind { kind: known.kind, group: known.group, reason }).collect()
}

fn of_kind(modelled: &Modelled) -> KindFields {
    let schema = (modelled.schema)();
    let mut listing = Listing { root: &schema, fields: Vec::new(), open: BTreeSet::new() };
    if modelled.at_spec {
        let root = Field {
            path: "spec".to_owned(),
            shape: "object".to_owned(),
            description: String::new(),
            values: Vec::new(),
            unserved: None,
        };
        listing.fields.push(root);
        listing.members("spec", &schema);
    } else {
        listing.members("", &schema);
    }
    KindFields {
        kind: modelled.kind,
        group: modelled.group,
        versions: modelled.versions,
        description: description(&schema),
        partial: modelled.core,
        fields: listing.fields,
    }
}

/// Walks a JSON Schema as schemars derives it.
struct Listing<'a> {
    root: &'a Json,
    fields: Vec<Field>,
    /// Named schemas above the one at hand: one that holds itself is not entered twice.
    open: BTreeSet<&'a str>,
}

impl<'a> Listing<'a> {
    /// Lists the fields of a mapping, or of what a list or mapping holds.
    fn members(&mut self, path: &str, schema: &'a Json) {
        let name = reference(schema);
        if name.is_some_and(|name| !self.open.insert(name)) {
            return;
        }
        for part in self.parts(schema) {
            for (name, property) in part["properties"].as_object().into_iter().flatten() {
                self.field(&join(path, name), property);
            }
            if part["items"].is_object() {
                self.members(&format!("{path}[]"), &part["items"]);
            }
            if part["additionalProperties"].is_object() {
                self.members(&format!("{path}{{}}"), &part["additionalProperties"]);
            }
        }
        if let Some(name) = name {
            self.open.remove(name);
        }
    }

    fn field(&mut self, path: &str, schema: &'a Json) {
        let unserved = schema[UNSERVED].as_str().map(str::to_owned);
        let is_served = unserved.is_none();
        self.fields.push(Field {
            path: path.to_owned(),
            shape: self.shape(schema),
            description: self.describe(schema),
            values: self.values(schema),
            unserved,
        });
        if is_served {
            self.members(path, schema);
        }
    }

    /// The schema itself and what it refers to, without the alternative `null`.
    fn parts(&self, schema: &'a Json) -> Vec<&'a Json> {
        let mut parts = vec![schema];
        if let Some(target) = reference(schema).and_then(|name| self.root.pointer(name)) {
            parts.extend(self.parts(target));
        }
        for name in ["allOf", "anyOf", "oneOf"] {
            for part in schema[name].as_array().into_iter().flatten().filter(|part| part["type"] != "null") {
                parts.extend(self.parts(part));
            }
        }
        parts
    }

    fn shape(&self, schema: &'a Json) -> String {
        let parts = self.parts(schema);
        if let Some(items) = parts.iter().map(|part| &part["items"]).find(|items| items.is_object()) {
            return format!("[]{}", self.shape(items));
        }
        let values = parts.iter().map(|part| &part["additionalProperties"]);
        if let Some(values) = values.into_iter().find(|values| values.is_object()) {
            return format!("{{}}{}", self.shape(values));
        }
        let named: Vec<&str> =
            parts.iter().flat_map(|part| kinds(part)).filter(|kind| *kind != "null").collect();
        match named.as_slice() {
            [] if self.values(schema).is_empty() => "any".to_owned(),
            [] => "string".to_owned(),
            [first, rest @ ..] => {
                // A quantity is a number or its text, for instance.
                let others = rest.iter().filter(|kind| *kind != first).collect::<BTreeSet<_>>();
                others.into_iter().fold((*first).to_owned(), |shape, other| format!("{shape} or {other}"))
            }
        }
    }

    /// The field's own words, else those of its shape.
    fn describe(&self, schema: &'a Json) -> String {
        self.parts(schema).into_iter().map(description).find(|text| !text.is_empty()).unwrap_or_default()
    }

    fn values(&self, schema: &'a Json) -> Vec<String> {
        let parts = self.parts(schema);
        let listed = parts.iter().flat_map(|part| part["enum"].as_array().into_iter().flatten());
        let single = parts.iter().map(|part| &part["const"]);
        listed.chain(single).filter_map(Json::as_str).map(str::to_owned).collect()
    }
}

fn reference(schema: &Json) -> Option<&str> {
    schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'))
}

fn kinds(schema: &Json) -> Vec<&str> {
    match &schema["type"] {
        Json::String(kind) => vec![kind],
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn description(schema: &Json) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(kinds: &'a [KindFields], kind: &str, path: &str) -> &'a Field {
        let kind = kinds.iter().find(|one| one.kind == kind).expect("a modelled kind");
        let field = kind.fields.iter().find(|field| field.path == path);
        field.unwrap_or_else(|| panic!("{}: no {path} in {:#?}", kind.kind, kind.fields))
    }

    #[test]
    fn fields_have_their_path_shape_words_and_values() {
        let kinds = fields();
        let value = find(&kinds, "HTTPRoute", "spec.rules[].matches[].path.value");
        assert_eq!((value.shape.as_str(), &value.unserved), ("string", &None));
        assert!(!value.description.is_empty());
        let kind = find(&kinds, "HTTPRoute", "spec.rules[].matches[].path.type");
        assert_eq!(kind.values, ["Exact", "PathPrefix", "RegularExpression"]);
        assert_eq!(kind.shape, "string");
        assert_eq!(find(&kinds, "HTTPRoute", "spec.rules").shape, "[]object");
        assert_eq!(find(&kinds, "Gateway", "spec.listeners[].port").shape, "integer");
        assert_eq!(find(&kinds, "ConfigMap", "data").shape, "{}string");
        assert_eq!(
            find(&kinds, "Gateway", "spec.listeners[].allowedRoutes.namespaces.selector.matchLabels").shape,
            "{}string"
        );
    }

    #[test]
    fn a_field_that_is_not_served_says_why_and_hides_what_is_below() {
        let kinds = fields();
        let session = find(&kinds, "HTTPRoute", "spec.rules[].sessionPersistence");
        assert_eq!(session.unserved.as_deref(), Some("session persistence is experimental in Gateway API"));
        assert_eq!(session.shape, "any");
        for kind in &kinds {
            for field in kind.fields.iter().filter(|field| field.unserved.is_some()) {
                let below = format!("{}.", field.path);
                assert!(!kind.fields.iter().any(|other| other.path.starts_with(&below)), "{}", field.path);
            }
        }
    }

    #[test]
    fn a_kind_is_served_or_is_not_for_a_reason_and_never_both() {
        let modelled: BTreeSet<_> = fields().iter().map(|kind| (kind.group, kind.kind)).collect();
        let unserved: BTreeSet<_> = unserved_kinds().iter().map(|kind| (kind.group, kind.kind)).collect();
        assert!(modelled.is_disjoint(&unserved));
        assert!(unserved.iter().all(|(group, _)| group.contains("gateway")), "{unserved:?}");
    }

    #[test]
    fn no_path_is_listed_twice_and_every_field_of_ours_has_words() {
        for kind in fields() {
            let paths: BTreeSet<&str> = kind.fields.iter().map(|field| field.path.as_str()).collect();
            assert_eq!(paths.len(), kind.fields.len(), "{}", kind.kind);
            for field in kind.fields.iter().filter(|field| field.path != "spec") {
                assert!(!field.description.is_empty(), "{} {} says nothing of itself", kind.kind, field.path);
            }
            assert!(!kind.description.is_empty(), "{} says nothing of itself", kind.kind);
        }
    }
}
