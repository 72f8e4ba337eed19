use std::collections::BTreeMap;

use regex::Regex;
use schemars::JsonSchema;
use serde_json::Value as Json;

use crate::kind::UNSERVED;

/// A JSON Schema as derived from our types, made ready for checking: references resolved to indices,
/// patterns compiled, `null` left out (the API treats null as absent).
#[derive(Debug)]
pub(crate) struct Shapes {
    all: Vec<Shape>,
    root: ShapeId,
}

/// An index into [`Shapes`].
pub(crate) type ShapeId = usize;

/// What one schema says. Empty parts say nothing.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    pub(crate) kinds: Vec<NodeKind>,
    pub(crate) properties: BTreeMap<String, ShapeId>,
    pub(crate) required: Vec<String>,
    /// No other fields than `properties`.
    pub(crate) closed: bool,
    /// What fields outside `properties` look like.
    pub(crate) additional: Option<ShapeId>,
    pub(crate) items: Option<ShapeId>,
    pub(crate) values: Vec<String>,
    pub(crate) all_of: Vec<ShapeId>,
    pub(crate) any_of: Vec<ShapeId>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) format: Option<String>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    /// Characters of text, items of a list, keys of a mapping.
    pub(crate) min_count: Option<u64>,
    pub(crate) max_count: Option<u64>,
    pub(crate) unserved: Option<String>,
}

/// `type` of JSON Schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Mapping,
}

impl Shapes {
    pub(crate) fn of<T: JsonSchema>() -> Self {
        let schema = schemars::schema_for!(T).to_value();
        let mut compiler = Compiler { root: &schema, all: Vec::new(), named: BTreeMap::new() };
        let root = compiler.compile(&schema);
        Self { all: compiler.all, root }
    }

    pub(crate) fn root(&self) -> ShapeId {
        self.root
    }

    pub(crate) fn shape(&self, id: ShapeId) -> &Shape {
        &self.all[id]
    }
}

struct Compiler<'a> {
    root: &'a Json,
    all: Vec<Shape>,
    named: BTreeMap<&'a str, ShapeId>,
}

impl<'a> Compiler<'a> {
    fn compile(&mut self, schema: &'a Json) -> ShapeId {
        let id = self.all.len();
        self.all.push(Shape::default());
        self.all[id] = self.shape(schema);
        id
    }

    fn shape(&mut self, schema: &'a Json) -> Shape {
        let mut shape = Shape::default();
        let count = |name: &str| schema.get(name).and_then(Json::as_u64);
        let text = |name: &str| schema.get(name).and_then(Json::as_str);
        shape.kinds = kinds(&schema["type"]);
        shape.required = texts(&schema["required"]);
        shape.closed = schema["additionalProperties"] == Json::Bool(false);
        shape.format = text("format").map(str::to_owned);
        shape.pattern = text("pattern").and_then(|pattern| Regex::new(pattern).ok());
        shape.minimum = schema.get("minimum").and_then(Json::as_f64);
        shape.maximum = schema.get("maximum").and_then(Json::as_f64);
        shape.min_count = count("minLength").or_else(|| count("minItems")).or_else(|| count("minProperties"));
        shape.max_count = count("maxLength").or_else(|| count("maxItems")).or_else(|| count("maxProperties"));
        shape.unserved = text(UNSERVED).map(str::to_owned);
        shape.values = texts(&schema["enum"]);
        shape.values.extend(text("const").map(str::to_owned));
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let id = self.compile(property);
            shape.properties.insert(name.clone(), id);
        }
        if schema["additionalProperties"].is_object() {
            shape.additional = Some(self.compile(&schema["additionalProperties"]));
        }
        if schema["items"].is_object() {
            shape.items = Some(self.compile(&schema["items"]));
        }
        if let Some(reference) = text("$ref") {
            let id = self.named(reference);
            shape.all_of.push(id);
        }
        for part in schema["allOf"].as_array().into_iter().flatten() {
            let id = self.compile(part);
            shape.all_of.push(id);
        }
        self.choices(schema, &mut shape);
        shape
    }

    /// `anyOf` and `oneOf`: lists of names become `values`, a single choice beside null becomes the shape.
    fn choices(&mut self, schema: &'a Json, shape: &mut Shape) {
        let branches: Vec<&Json> = ["anyOf", "oneOf"]
            .into_iter()
            .filter_map(|name| schema[name].as_array())
            .flatten()
            .filter(|branch| branch["type"] != "null")
            .collect();
        let names: Vec<Vec<String>> = branches
            .iter()
            .map(|branch| {
                let mut names = texts(&branch["enum"]);
                names.extend(branch["const"].as_str().map(str::to_owned));
                names
            })
            .collect();
        if !branches.is_empty() && names.iter().all(|names| !names.is_empty()) {
            shape.kinds = vec![NodeKind::Text];
            shape.values.extend(names.into_iter().flatten());
            return;
        }
        let ids: Vec<ShapeId> = branches.into_iter().map(|branch| self.compile(branch)).collect();
        if ids.len() == 1 { shape.all_of.extend(ids) } else { shape.any_of = ids }
    }

    fn named(&mut self, reference: &'a str) -> ShapeId {
        if let Some(id) = self.named.get(reference) {
            return *id;
        }
        let root = self.root;
        let target =
            reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)).unwrap_or(&Json::Null);
        let id = self.all.len();
        self.all.push(Shape::default());
        self.named.insert(reference, id);
        self.all[id] = self.shape(target);
        id
    }
}

fn kinds(value: &Json) -> Vec<NodeKind> {
    let kind = |name: &str| match name {
        "boolean" => Some(NodeKind::Boolean),
        "integer" => Some(NodeKind::Integer),
        "number" => Some(NodeKind::Number),
        "string" => Some(NodeKind::Text),
        "array" => Some(NodeKind::List),
        "object" => Some(NodeKind::Mapping),
        _ => None,
    };
    match value {
        Json::String(name) => kind(name).into_iter().collect(),
        Json::Array(names) => names.iter().filter_map(Json::as_str).filter_map(kind).collect(),
        _ => Vec::new(),
    }
}

fn texts(value: &Json) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind;

    fn assert_compiles<T: JsonSchema>() {
        fn walk(value: &Json) {
            if let Some(pattern) = value.get("pattern").and_then(Json::as_str) {
                Regex::new(pattern).expect("a pattern that compiles");
            }
            match value {
                Json::Array(items) => items.iter().for_each(walk),
                Json::Object(fields) => fields.values().for_each(walk),
                _ => {}
            }
        }
        walk(&schemars::schema_for!(T).to_value());
        assert!(Shapes::of::<T>().all.iter().any(|shape| !shape.properties.is_empty()));
    }

    #[test]
    fn every_pattern_of_our_kinds_compiles() {
        assert_compiles::<kind::GatewayClass>();
        assert_compiles::<kind::Gateway>();
        assert_compiles::<kind::HttpRoute>();
        assert_compiles::<kind::Backend>();
        assert_compiles::<kind::BackendTlsPolicy>();
        assert_compiles::<kind::ClientTrafficPolicy>();
        assert_compiles::<kind::ConnectionPolicy>();
        assert_compiles::<kind::Appliance>();
        assert_compiles::<kind::EndpointSlice>();
        assert_compiles::<kind::Service>();
    }
}
