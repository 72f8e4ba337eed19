//! From a file dropped into the directory to an answer on the wire, and back to the old one when it is broken.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use e2e::wait;

use crate::cafe::{Cafe, appliance};

fn route(name: &str, path: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: default}}
spec:
  parentRefs: [{{name: eg}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]
    filters:
    - type: ResponseHeaderModifier
      responseHeaderModifier: {{set: [{{name: x-route, value: {name}}}]}}
    backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: echo}}]
"
    )
}

fn open() -> Option<Cafe> {
    Cafe::open(&[("appliance.yaml", appliance("{mode: Off}"))], &[])
}

fn served_by(cafe: &Cafe, path: &str) -> Option<String> {
    let response = cafe.connect().ok()?.get("cafe.example.com", path).ok()?;
    response.header("x-route").map(str::to_owned)
}

#[test]
fn a_dropped_file_is_served_and_a_deleted_one_is_not() {
    let Some(cafe) = open() else { return };
    assert_eq!(served_by(&cafe, "/tea/1"), None);
    cafe.place.write("tea.yaml", &route("tea", "/tea"));
    wait::until("the new route serves", || served_by(&cafe, "/tea/1").filter(|route| route == "tea"));
    assert_eq!(served_by(&cafe, "/other"), None);
    std::fs::remove_file(cafe.place.config("tea.yaml")).expect("a file of our own");
    wait::until("the deleted route is gone", || served_by(&cafe, "/tea/1").is_none().then_some(()));
}

#[test]
fn a_broken_file_under_load_changes_nothing_and_hurts_nobody() {
    let Some(cafe) = open() else { return };
    cafe.place.write("tea.yaml", &route("tea", "/tea"));
    wait::until("the route serves", || served_by(&cafe, "/tea/1"));
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut connection = cafe.connect().expect("the gateway listens");
            while !stop.load(Ordering::Relaxed) {
                let response = connection.get("cafe.example.com", "/tea/1").expect("no request is lost");
                assert_eq!(response.header("x-route"), Some("tea"));
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
        let broken = [
            ("tea.yaml", "kind: [unclosed\n".to_owned()),
            ("tea.yaml", route("tea", "/tea").replace("PathPrefix", "PathPrefx")),
            ("more.yaml", "\u{0}\u{1}binary".to_owned()),
            ("more.yaml", route("more", "/more").replace("spec:", "specs:")),
        ];
        for (number, (name, text)) in broken.iter().enumerate() {
            cafe.place.write(name, text);
            // Proof that the broken file was looked at: a good one beside it is served.
            let probe = format!("probe{number}");
            cafe.place.write("probe.yaml", &route(&probe, "/probe"));
            wait::until("the good file is served", || {
                served_by(&cafe, "/probe").filter(|route| *route == probe)
            });
        }
        let enough = served.load(Ordering::Relaxed) + 10;
        wait::until("the client goes on", || (served.load(Ordering::Relaxed) > enough).then_some(()));
        stop.store(true, Ordering::Relaxed);
        client.join().expect("no request failed");
    });
    let log = cafe.gateway.log();
    assert!(log.contains("PathPrefx"), "the message names what was found: {log}");
    assert!(log.contains("tea.yaml:"), "the message names file and line: {log}");
}

#[test]
fn a_change_among_a_thousand_routes_is_served_and_none_is_lost() {
    let Some(cafe) = open() else { return };
    let many = |marked: &str| {
        (0..1000)
            .map(|n| route(&format!("r{n}-{marked}"), &format!("/r{n}")))
            .collect::<Vec<_>>()
            .join("---\n")
    };
    cafe.place.write("many.yaml", &many("a"));
    wait::until("the last route serves", || served_by(&cafe, "/r999"));
    cafe.place.write("many.yaml", &many("b"));
    wait::until("the change is served", || served_by(&cafe, "/r500").filter(|route| route == "r500-b"));
    let mut connection = cafe.connect().expect("the gateway listens");
    for n in 0..1000 {
        let response = connection.get("cafe.example.com", &format!("/r{n}/x")).expect("served");
        assert_eq!(response.header("x-route"), Some(format!("r{n}-b").as_str()));
    }
}
