use std::fs;

use crate::harness::{Gateway, Place, free_port, gateway_manifest, stderr, stdout};

#[test]
fn waiting_ends_when_what_was_dropped_in_is_live() {
    let place = Place::new();
    let gateway = Gateway::start(&place);
    let port = free_port();
    place.write("a.yaml", &gateway_manifest(port));
    let output = place.status(&["--wait"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains(&format!("listens on 127.0.0.1:{port}/TCP")), "{}", stdout(&output));
    let output = place.status(&["gateway/eg", "--output", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["objects"][0]["metadata"]["name"], "eg", "{found}");
    assert_eq!(place.status(&["gateway/other"]).status.code(), Some(1));
    drop(gateway);
    let output = place.status(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("not running"), "{}", stdout(&output));
}

#[test]
fn what_is_not_accepted_is_exit_code_1() {
    let place = Place::new();
    place.write("a.yaml", "apiVersion: v1\nkind: Secret\nmetadata: [");
    let _gateway = Gateway::start(&place);
    let output = place.status(&["--wait=10s"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stdout(&output).contains("a.yaml:"), "{}", stdout(&output));
}

#[test]
fn waiting_for_nobody_ends_at_its_time() {
    let place = Place::new();
    let output = place.status(&["--wait=50ms"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is it running"), "{}", stderr(&output));
}

#[test]
fn files_of_statuses_follow_their_objects() {
    let place = Place::new();
    let port = free_port();
    place.write("a.yaml", &gateway_manifest(port));
    let gateway = Gateway::start(&place);
    let name = "Gateway.gateway.networking.k8s.io/default/eg.json";
    let first = place.status_file(name).expect("it is there");
    let condition = |status: &serde_json::Value| {
        let conditions = status["status"]["conditions"].as_array().expect("conditions").clone();
        conditions.into_iter().find(|condition| condition["type"] == "Programmed").expect("Programmed")
    };
    assert_eq!(condition(&first)["status"], "True", "{first}");
    assert!(condition(&first)["lastTransitionTime"].is_string(), "{first}");
    assert!(place.status_file("GatewayClass.gateway.networking.k8s.io/_/ours.json").is_some());
    fs::remove_file(place.config("a.yaml")).expect("removed");
    crate::harness::until("the file goes", || place.status_file(name).is_none().then_some(()));
    drop(gateway);
}

#[test]
fn an_address_in_use_is_a_condition() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    place.write("a.yaml", &gateway_manifest(port));
    let gateway = Gateway::start(&place);
    let status = place.status_file("Gateway.gateway.networking.k8s.io/default/eg.json").expect("it is there");
    let text = status.to_string();
    assert!(text.contains("AddressNotUsable") && text.contains("another process listens there"), "{status}");
    drop(taken);
    gateway.signal(nix::sys::signal::Signal::SIGHUP);
    crate::harness::until("it is bound", || {
        let status = place.status_file("Gateway.gateway.networking.k8s.io/default/eg.json")?.to_string();
        (!status.contains("AddressNotUsable")).then_some(())
    });
}

#[test]
fn who_is_refused_and_by_which_policy_is_shown() {
    let place = Place::new();
    let port = free_port();
    let policies = "---
apiVersion: gateway.internal/v1alpha1
kind: ConnectionPolicy
metadata: {name: sources}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  clientCIDRs: {deny: [127.0.0.1/32]}
";
    place.write("a.yaml", &(gateway_manifest(port) + policies));
    let output = place.status(&["--top"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no gateway runs"), "{}", stderr(&output));
    let gateway = Gateway::start(&place);
    assert_eq!(stdout(&place.status(&["--top"])), "no connection was refused\n");
    for _ in 0..3 {
        // It is accepted and reset.
        let _ = std::net::TcpStream::connect(("127.0.0.1", port));
    }
    crate::harness::until("all are counted", || {
        let line = "gateway_connections_refused_total{listener=\"default/eg/http\"";
        (gateway.metric(line) == Some(3.0)).then_some(())
    });
    let text = stdout(&place.status(&["--top=1"]));
    for line in [
        "refused 3 of default/eg/http: source_denied (default/sources, accept)\n",
        "  127.0.0.1: refused 3 of default/eg/http: source_denied (default/sources, accept)\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let (_, page) = gateway.get("/status");
    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(page["refused"]["byPolicy"][0]["policy"], "default/sources", "{page}");
    assert_eq!(page["refused"]["top"][0]["refused"], 3, "{page}");
    assert_eq!(gateway.get("/refused?rows=0").0, 200);
    let line = "refused source_denied listener=default/eg/http tier=accept policy=default/sources";
    crate::harness::until("the log tells of them", || gateway.log().contains(line).then_some(()));
}

#[test]
fn limits_are_shown_with_who_has_set_them_and_where() {
    let place = Place::new();
    let port = free_port();
    let policies = "---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: {name: clients}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  connection: {connectionLimit: {value: 70}}
---
apiVersion: gateway.internal/v1alpha1
kind: ConnectionPolicy
metadata: {name: sources}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg, sectionName: http}]
  concurrentConnections:
    perSource: {limit: 20}
";
    place.write("a.yaml", &(gateway_manifest(port) + policies));
    let gateway = Gateway::start(&place);
    let output = place.status(&["--wait"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for line in [
        "limits default/eg/http: spec.connection.connectionLimit.value = 70  (ClientTrafficPolicy default/clients, a.yaml:20:",
        "limits default/eg/http: spec.concurrentConnections.perSource.limit = 20 by peer  (ConnectionPolicy default/sources, a.yaml:28:",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let (_, page) = gateway.get("/status");
    let page: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    assert_eq!(page["state"]["limits"][1]["policy"], "ConnectionPolicy default/sources", "{page}");
}
