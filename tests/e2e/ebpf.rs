//! `gateway ebpf`: what is pinned is seen, corrected and ended, with a gateway and without.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use e2e::{gateway::binary, http::Connection, pinned::SourceCounts, unit, wait};

use crate::cafe::{Cafe, PORT, appliance, connection_policy, limited};

fn open() -> Option<Cafe> {
    let files = [("appliance.yaml", appliance("{interfaces: [gw0]}")), ("limit.yaml", limited(1))];
    Cafe::open(&files, &[])
}

/// What `gateway ebpf` prints in the gateway's namespace, as root.
fn ebpf(cafe: &Cafe, words: &[&str]) -> (bool, String) {
    let mut command = Command::new(binary());
    command.arg("ebpf").args(words).arg("--runtime-dir").arg(cafe.place.runtime(""));
    said(cafe.wire.gateway.run(|| command.output()).expect("the gateway can be started: was it built?"))
}

fn said(output: Output) -> (bool, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn serve(held: &mut Connection) {
    assert_eq!(held.get("cafe.example.com", "/").expect("served").status, 200);
}

#[test]
fn what_is_pinned_is_seen_with_a_gateway_and_without() {
    let Some(mut cafe) = open() else { return };
    let mut held = cafe.connect().expect("below the limit");
    serve(&mut held);
    let pid = cafe.gateway.pid();
    let (fine, text) = ebpf(&cafe, &["status"]);
    for line in [
        &*format!("kept by process {pid}: XDP on gw0"),
        "counting of every cgroup: link ",
        "XDP on gw0: link ",
        "map SLOTS: 1 of 65536 rows",
        "0.0.0.0:8080: at most 1 connections of default/eg:8080/TCP",
        "default/eg:8080/TCP: 1 open",
    ] {
        assert!(fine && text.contains(line), "{line}\n{text}");
    }
    let (fine, json) = ebpf(&cafe, &["status", "--output", "json"]);
    for part in
        ["\"interface\": \"gw0\"", "\"name\": \"default/eg:8080/TCP\"", "\"open\": 1", "\"ours\": true"]
    {
        assert!(fine && json.contains(part), "{part}\n{json}");
    }
    let (fine, text) = ebpf(&cafe, &["reset"]);
    assert!(fine && text.contains("nothing to change"), "{text}");
    let (fine, text) = ebpf(&cafe, &["detach"]);
    assert!(!fine && text.contains(&format!("process {pid}")) && text.contains("--force"), "{text}");
    assert!(cafe.tier("gw0") == Some("xdp"), "nothing has happened");
    cafe.gateway.kill();
    let (fine, text) = ebpf(&cafe, &["status"]);
    assert!(fine && text.contains("kept by nobody") && text.contains("XDP on gw0"), "{text}");
    let (fine, text) = ebpf(&cafe, &["detach"]);
    assert!(fine && text.contains("2 links"), "{text}");
    let (fine, text) = ebpf(&cafe, &["status"]);
    assert!(fine && text.contains("nothing is pinned"), "{text}");
    let (fine, text) = ebpf(&cafe, &["reset"]);
    assert!(fine && text.contains("nothing to change"), "{text}");
}

#[test]
fn a_count_by_source_that_is_wrong_is_corrected_and_said() {
    let spec = "  concurrentConnections: {perSource: {limit: 2}, perPrefix: {limit: 3}}\n";
    let files = [("appliance.yaml", appliance("{interfaces: [gw0]}")), ("who.yaml", connection_policy(spec))];
    let Some(cafe) = Cafe::open(&files, &[]) else { return };
    let mut held = cafe.connect().expect("below the limit");
    serve(&mut held);
    let mut counts = SourceCounts::of(&cafe.place.runtime("bpf"), PORT);
    let network = |text: &str, bits: u8| (text.parse().expect("an address"), bits);
    let (source, prefix) = (network("198.51.100.1", 32), network("198.51.100.0", 24));
    let right = [(prefix, 1), (source, 1)].into();
    wait::until("it is counted", || (counts.open() == right).then_some(()));
    counts.falsify(source, 2);
    assert!(cafe.connect().is_err(), "refused by the kernel");
    let (fine, text) = ebpf(&cafe, &["reset"]);
    assert!(fine && text == "198.51.100.1: 2 -> 1\n", "{text}");
    counts.falsify(prefix, 3);
    assert!(cafe.connect().is_err(), "refused by the kernel");
    let (fine, json) = ebpf(&cafe, &["reset", "--output", "json"]);
    let changed = serde_json::json!({ "changed": [{ "what": "198.51.100.0/24", "from": 3, "to": 1 }] });
    assert!(fine, "{json}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).expect("JSON"), changed);
    assert_eq!(counts.open(), right);
    serve(&mut cafe.connect().expect("there is room again"));
    serve(&mut held);
}

/// The gateway notices, says so, and goes on with what it counts itself.
#[test]
fn a_kernel_half_that_is_ended_by_force_leaves_the_limit_to_user_space() {
    let Some(cafe) = open() else { return };
    let mut held = cafe.connect().expect("below the limit");
    serve(&mut held);
    assert!(cafe.connect().is_err(), "refused by the kernel");
    let (fine, text) = ebpf(&cafe, &["detach", "--force"]);
    assert!(fine && text.contains("has been told"), "{text}");
    wait::until("it is noticed", || cafe.gateway.log().contains("its pins were removed").then_some(()));
    wait::until("the tier is gone", || (cafe.tier("gw0") != Some("xdp")).then_some(()));
    serve(&mut held);
    let refused = cafe.connect().and_then(|mut second| second.get("cafe.example.com", "/"));
    assert!(refused.is_err(), "one is open");
    drop(held);
    wait::until("the slot is free", || {
        cafe.connect().and_then(|mut next| next.get("cafe.example.com", "/")).ok().map(drop)
    });
    let (_, text) = ebpf(&cafe, &["status"]);
    assert!(text.contains("accept: its pins were removed") && text.contains("nothing is pinned"), "{text}");
}

#[test]
fn who_may_not_look_is_told_what_it_takes() {
    let Some(cafe) = open() else { return };
    let text = fs::read_to_string(unit::file()).expect("the unit is in the checkout");
    let unit = cafe.place.beside("unit");
    let without = "\nAmbientCapabilities=\nCapabilityBoundingSet=\nUser=daemon\nGroup=daemon\n[Install]";
    fs::write(&unit, text.replace("\n[Install]", without)).expect("a file of our own");
    for words in [&["status"] as &[&str], &["detach", "--force"], &["reset"]] {
        let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_unit-user")));
        command.arg("--unit").arg(&unit).arg("--").arg(binary()).arg("ebpf").args(words);
        command.arg("--runtime-dir").arg(cafe.place.runtime(""));
        let (fine, text) = said(cafe.wire.gateway.run(|| command.output()).expect("it can be started"));
        assert!(!fine && text.contains("it takes root"), "{words:?}: {text}");
    }
    assert!(cafe.tier("gw0") == Some("xdp"), "nothing has happened");
}
