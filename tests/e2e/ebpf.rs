//! `gateway ebpf`: what is pinned is seen, corrected and ended, with a gateway and without.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use e2e::{gateway::binary, http::Connection, unit, wait};

use crate::cafe::{Cafe, appliance, policy};

fn open() -> Option<Cafe> {
    let limit = policy("  connection: {connectionLimit: {value: 1}}\n");
    let files = [("appliance.yaml", appliance("{interfaces: [gw0]}")), ("limit.yaml", limit)];
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

fn tier(cafe: &Cafe, name: &str) -> bool {
    cafe.metric("gateway_kernel_tier", &["interface=\"gw0\"", &format!("tier=\"{name}\"")]) == 1.0
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
    assert!(tier(&cafe, "xdp"), "nothing has happened");
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
    wait::until("the tier is gone", || (!tier(&cafe, "xdp")).then_some(()));
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
    assert!(tier(&cafe, "xdp"), "nothing has happened");
}
