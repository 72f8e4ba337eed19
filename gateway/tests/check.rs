use crate::harness::{Place, gateway, gateway_manifest, stderr, stdout};

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
    assert!(stdout(&output).contains("Accepted=False"), "{}", stdout(&output));
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
