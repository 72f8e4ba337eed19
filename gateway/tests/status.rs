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
