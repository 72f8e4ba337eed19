use std::collections::BTreeSet;

use manifest::kind::{
    Backend, BackendTlsPolicy, ClientTrafficPolicy, ConnectionPolicy, Gateway, GatewayClass, HttpRoute, Kind,
    UNSERVED,
};
use serde_json::Value;
use translate::{ObjectStatus, translate};

use crate::support;

/// The paths of all fields whose schema says that they are not served: `spec.rules[].retry`.
fn unserved_fields<T: Kind>() -> BTreeSet<String> {
    let schema = manifest::schema::<T>();
    let mut fields = BTreeSet::new();
    collect(&schema, &schema, "spec", &mut fields);
    fields
}

fn collect(root: &Value, schema: &Value, path: &str, fields: &mut BTreeSet<String>) {
    if schema.get(UNSERVED).is_some() {
        fields.insert(path.to_owned());
        return;
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = root.pointer(reference.trim_start_matches('#')).expect("it is in the schema");
        collect(root, target, path, fields);
    }
    for branch in ["anyOf", "allOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten() {
        collect(root, branch, path, fields);
    }
    if let Some(items) = schema.get("items") {
        collect(root, items, &format!("{path}[]"), fields);
    }
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        collect(root, property, &format!("{path}.{name}"), fields);
    }
}

/// The fields that Warning conditions of a kind name, over all golden cases.
fn warned<T: Kind>(statuses: &[std::sync::Arc<ObjectStatus>]) -> BTreeSet<String> {
    let of_kind = statuses.iter().filter(|status| &*status.id.kind == T::KIND);
    of_kind.flat_map(|status| warnings(&status.status)).flat_map(|message| fields_of(&message)).collect()
}

fn warnings(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(warnings).collect(),
        Value::Object(fields) if fields.get("type").is_some_and(|kind| kind == "Warning") => {
            fields["message"].as_str().map(str::to_owned).into_iter().collect()
        }
        Value::Object(fields) => fields.values().flat_map(warnings).collect(),
        _ => Vec::new(),
    }
}

/// Of `spec.rules[0].retry is not served: ...`, `spec.rules[].retry`.
fn fields_of(message: &str) -> Vec<String> {
    let words: Vec<&str> = message.split(' ').collect();
    let named = words.windows(4).filter(|words| words[1..] == ["is", "not", "served:"]);
    named.map(|words| without_places(words[0])).collect()
}

fn without_places(path: &str) -> String {
    let mut parts = path.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |path, part| path + "[" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

fn assert_warned<T: Kind>(statuses: &[std::sync::Arc<ObjectStatus>]) {
    let unserved = unserved_fields::<T>();
    assert!(!unserved.is_empty(), "{} has fields that are not served", T::KIND);
    let warned = warned::<T>(statuses);
    let silent: Vec<&String> = unserved.difference(&warned).collect();
    assert!(silent.is_empty(), "{}: no golden case shows a Warning for {silent:?}", T::KIND);
}

#[test]
fn every_known_field_that_is_not_served_is_a_warning_with_its_path() {
    let cases = support::golden_inputs();
    let statuses: translate::Statuses = cases
        .iter()
        .flat_map(|case| {
            translate(&support::loaded([("case.yaml", case.as_str())]), &support::facts()).statuses
        })
        .collect();
    assert_warned::<ClientTrafficPolicy>(&statuses);
    assert_warned::<Gateway>(&statuses);
    assert_warned::<HttpRoute>(&statuses);
    assert_warned::<Backend>(&statuses);
    assert_warned::<BackendTlsPolicy>(&statuses);
    assert!(unserved_fields::<GatewayClass>().is_empty(), "then it needs a case too");
    assert!(unserved_fields::<ConnectionPolicy>().is_empty(), "then it needs a case too");
}
