//! Golden cases: `tests/golden/TOPIC/CASE.in.yaml` holds manifests, `CASE.out.yaml` what they mean: the IR, the
//! status of every object, and the diagnostics. `GATEWAY_BLESS=1` rewrites what is out; read the difference, it is
//! the specification.
//!
//! To be readable, the output leaves out settings that have their default, and writes a condition on one line.

mod support;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};
use translate::Translation;

#[test]
fn every_case_means_what_it_meant() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/golden");
    let bless = std::env::var_os("GATEWAY_BLESS").is_some();
    let mut wrong = Vec::new();
    let mut expected = BTreeSet::new();
    let files = files(&root);
    for input in files.iter().filter(|path| path.to_string_lossy().ends_with(".in.yaml")) {
        let output = PathBuf::from(input.to_string_lossy().replace(".in.yaml", ".out.yaml"));
        expected.extend([input.clone(), output.clone()]);
        let found = rendered(input);
        if bless {
            fs::write(&output, &found).expect("the case's output is written");
        } else if fs::read_to_string(&output).ok().as_ref() != Some(&found) {
            let was = fs::read_to_string(&output).unwrap_or_default();
            wrong.push(format!("{}:\n{}", output.display(), difference(&was, &found)));
        }
    }
    assert!(!expected.is_empty(), "there are no cases under {}", root.display());
    let extra: Vec<_> = files.iter().filter(|path| !expected.contains(*path)).collect();
    assert!(extra.is_empty(), "files that belong to no case: {extra:?}");
    assert!(wrong.is_empty(), "GATEWAY_BLESS=1 rewrites:\n{}", wrong.join("\n"));
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("golden cases").flatten() {
        let path = entry.path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

fn rendered(input: &Path) -> String {
    let text = fs::read_to_string(input).expect("the case's input is read");
    let name = input.file_name().and_then(|name| name.to_str()).expect("a plain name");
    let translation = support::translated(&[(name, &text), ("secrets.yaml", support::secrets())]);
    serde_yaml::to_string(&document(&translation)).expect("plain data")
}

fn document(translation: &Translation) -> Value {
    let Translation { gateway, statuses, diagnostics } = translation;
    let mut out = Map::new();
    let appliance = without_defaults(&json!(gateway.appliance), &json!(ir::Appliance::default()));
    if let Some(appliance) = appliance {
        out.insert("appliance".to_owned(), appliance);
    }
    out.insert("binds".to_owned(), json!(gateway.binds).readable());
    let statuses: Map<String, Value> =
        statuses.iter().map(|status| (status.id.to_string(), status.status.readable())).collect();
    out.insert("statuses".to_owned(), Value::Object(statuses));
    out.insert("diagnostics".to_owned(), diagnostics.iter().map(|one| json!(one.to_string())).collect());
    Value::Object(out)
}

trait Readable {
    fn readable(&self) -> Value;
}

impl Readable for Value {
    fn readable(&self) -> Value {
        match self {
            Value::Array(items) => items.iter().map(Readable::readable).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(key, value)| (key.clone(), field(key, value))).collect()
            }
            plain => plain.clone(),
        }
    }
}

fn field(key: &str, value: &Value) -> Value {
    let default = match key {
        "conditions" => return value.as_array().expect("a list").iter().map(condition).collect(),
        "client" => json!(ir::ClientSettings::default()),
        "settings" => json!(ir::UpstreamSettings::default()),
        "timeouts" => json!(ir::RouteTimeouts {
            request: Some(std::time::Duration::from_secs(15)),
            backend_request: None
        }),
        "ciphers" => json!(ir::CipherSuites::default()),
        "supportedFeatures" => return json!(format!("{} features", value.as_array().expect("a list").len())),
        _ => return value.readable(),
    };
    without_defaults(value, &default).map_or_else(|| json!("defaults"), |value| value.readable())
}

/// What differs from the default.
fn without_defaults(value: &Value, default: &Value) -> Option<Value> {
    match (value, default) {
        (value, default) if value == default => None,
        (Value::Object(fields), Value::Object(defaults)) if fields.keys().eq(defaults.keys()) => Some(
            fields
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), without_defaults(value, &defaults[key])?)))
                .collect(),
        ),
        (value, _) => Some(value.clone()),
    }
}

/// `Accepted=True (Accepted, generation 1): message`. Asserts the API's shape on the way.
fn condition(condition: &Value) -> Value {
    let fields = condition.as_object().expect("a condition is a mapping");
    let keys: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["type", "status", "reason", "message", "observedGeneration"]));
    let text = |key: &str| fields[key].as_str().expect("text");
    assert!(text("message").ends_with('.'), "a sentence: {}", text("message"));
    json!(format!(
        "{}={} ({}, generation {}): {}",
        text("type"),
        text("status"),
        text("reason"),
        fields["observedGeneration"],
        text("message")
    ))
}

fn difference(was: &str, found: &str) -> String {
    let (was, found): (Vec<&str>, Vec<&str>) = (was.lines().collect(), found.lines().collect());
    let same = was.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let ends = was[same..].iter().rev().zip(found[same..].iter().rev()).take_while(|(a, b)| a == b).count();
    let minus = was[same..was.len() - ends].iter().map(|line| format!("- {line}\n"));
    let plus = found[same..found.len() - ends].iter().map(|line| format!("+ {line}\n"));
    format!("from line {}:\n{}", same + 1, minus.chain(plus).collect::<String>())
}
