use std::fs;

use crate::harness::{Place, gateway, gateway_manifest, project, stderr, stdout};

#[test]
fn clean_manifests_are_clean() {
    let place = Place::new();
    place.write("a.yaml", &gateway_manifest(8080));
    let path = place.config("");
    let output = gateway(&["check", path.to_str().expect("plain")]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("0 errors"), "{}", stdout(&output));
    assert_eq!(gateway(&["check", "--strict", path.to_str().expect("plain")]).status.code(), Some(0));
}

#[test]
fn an_unknown_field_is_shown_where_it_stands() {
    let place = Place::new();
    place.write("a.yaml", &gateway_manifest(8080).replace("gatewayClassName", "gatewayClasName"));
    let path = place.config("a.yaml");
    let output = gateway(&["check", path.to_str().expect("plain")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("a.yaml:10:3"), "{text}");
    assert!(text.contains("gatewayClassName"), "the nearest name: {text}");
    assert!(text.contains("   10 |   gatewayClasName: ours"), "{text}");
    let output = gateway(&["check", "--output", "json", path.to_str().expect("plain")]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["diagnostics"][0]["reason"], "UnknownField", "{report}");
}

#[test]
fn a_route_without_a_gateway_is_not_fine() {
    let place = Place::new();
    place.write("a.yaml", &crate::harness::route_manifest("lost", "/", 1));
    let output = gateway(&["check", place.config("").to_str().expect("plain")]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("HTTPRoute default/lost"), "{}", stdout(&output));
    assert!(stdout(&output).contains("[NoMatchingParent]"), "{}", stdout(&output));
    let output = gateway(&["check", "--output", "json", place.config("").to_str().expect("plain")]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let objects = report["objects"].as_array().expect("a list");
    let lost = objects.iter().find(|one| one["kind"] == "HTTPRoute").expect("it has a status");
    assert_eq!(lost["status"]["parents"][0]["conditions"][0]["reason"], "NoMatchingParent", "{report}");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in
        [&["check"][..], &["check", "/nonexistent/x"], &["check", "--output", "xml", "/"], &["nonsense"]]
    {
        let output = gateway(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn every_command_explains_itself() {
    for command in ["run", "check", "status"] {
        let output = gateway(&[command, "--help"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("Usage: gateway"), "{}", stdout(&output));
    }
}

/// The files of `config/`. The starter is a configuration of its own; the others are one together.
fn examples() -> (Vec<String>, Vec<String>) {
    let entries = fs::read_dir(project("config")).expect("config/").flatten();
    let names = entries.map(|entry| entry.file_name().into_string().expect("plain"));
    names.partition(|name| name == "starter.yaml")
}

fn assert_spotless(place: &Place) {
    let output = gateway(&["check", "--strict", place.config("").to_str().expect("plain")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(" 0 errors, 0 warnings"), "{text}");
}

#[test]
fn the_starter_is_clean_by_itself() {
    let place = Place::new();
    let (starter, _) = examples();
    let [name] = starter.as_slice() else { panic!("config/starter.yaml is there") };
    place.write(name, &fs::read_to_string(project("config").join(name)).expect("it is read"));
    assert_spotless(&place);
}

#[test]
fn the_founding_example_is_clean() {
    let place = Place::new();
    let (_, example) = examples();
    assert!(!example.is_empty());
    for name in example {
        place.write(&name, &fs::read_to_string(project("config").join(&name)).expect("it is read"));
    }
    let certified = rcgen::generate_simple_self_signed(["cafe.example.com".to_owned()]).expect("made");
    place.write("secrets/default/eg-cert/tls.crt", &certified.cert.pem());
    place.write("secrets/default/eg-cert/tls.key", &certified.signing_key.serialize_pem());
    assert_spotless(&place);
}

#[test]
fn a_mistake_is_said_once_and_its_consequences_follow() {
    let place = Place::new();
    let policy = "---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: {name: p}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  connection: {bufferLimit: 8Gi}
";
    place.write("a.yaml", &(gateway_manifest(8080) + policy));
    let output = gateway(&["check", place.config("").to_str().expect("plain")]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(" 1 errors, 0 warnings"), "{text}");
    assert!(text.contains("a.yaml:20:29"), "{text}");
    assert!(text.contains("Requests get 500 on: http."), "{text}");
}
