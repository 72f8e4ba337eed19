//! What the process may still do once it serves.

use std::{collections::BTreeMap, fs, path::PathBuf};

use e2e::{
    gateway::{Gateway, Place},
    namespaces,
    netns::Wire,
    unit,
};

use crate::cafe::{Cafe, appliance, manifests};

/// CAP_NET_BIND_SERVICE (10), CAP_NET_ADMIN (12), CAP_PERFMON (38), CAP_BPF (39).
const NEEDED: &str = "000000c000001400";

/// What `/proc` says of a thread, by name.
fn status(thread: &fs::DirEntry) -> BTreeMap<String, String> {
    let text = fs::read_to_string(thread.path().join("status")).expect("the thread lives");
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

#[test]
fn every_thread_has_four_capabilities_and_gains_no_more() {
    let Some(cafe) = Cafe::open(&[("appliance.yaml", appliance("{mode: Require, interfaces: [gw0]}"))], &[])
    else {
        return;
    };
    let threads = fs::read_dir(format!("/proc/{}/task", cafe.gateway.pid())).expect("the gateway runs");
    let threads: Vec<_> = threads.map(|thread| status(&thread.expect("an entry"))).collect();
    assert!(threads.len() > 2, "workers, admin page, watch");
    for thread in &threads {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(thread[set], NEEDED, "{set} of {}", thread["Name"]);
        }
        assert_eq!(thread["NoNewPrivs"], "1", "{}", thread["Name"]);
        if std::env::var_os("GATEWAY_LAUNCHER").is_some() {
            assert_ne!(thread["Uid"].split_whitespace().next(), Some("0"), "the unit's user");
            assert_eq!(thread["Seccomp"], "2", "the unit's system-call filter");
        }
    }
    let log = cafe.gateway.log();
    let line = log.lines().find(|line| line.contains("privileges")).expect("it is said");
    for name in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "CAP_NET_BIND_SERVICE", "dropped="] {
        assert!(line.contains(name), "{line}");
    }
}

/// The tier `confined` finds what the unit forbids and the gateway needs.
#[test]
fn a_unit_that_forbids_what_is_needed_is_noticed() {
    if !namespaces() {
        return;
    }
    let unit = fs::read_to_string(unit::file()).expect("the unit is in the checkout");
    let launched = |more: &str, flags: &[&str]| {
        let (wire, mut place) = (Wire::new(), Place::new());
        place.write("cafe.yaml", &manifests());
        place.write("appliance.yaml", &appliance("{mode: Require, interfaces: [gw0]}"));
        let file = place.runtime("unit");
        fs::write(&file, unit.replace("\n[Install]", &format!("\n{more}\n[Install]")))
            .expect("a file of our own");
        let launcher = PathBuf::from(env!("CARGO_BIN_EXE_unit-user"));
        place.launch_by(vec![launcher.into(), "--unit".into(), file.into()]);
        let mut gateway = Gateway::spawn(&wire.gateway, &place, flags);
        let ready = gateway.becomes_ready(&wire.gateway);
        gateway.kill();
        (ready, gateway.log())
    };
    let (ready, log) = launched("", &[]);
    assert!(ready, "the unit as it is: {log}");
    for (more, said) in [
        ("SystemCallFilter=~bpf", "Operation not permitted"),
        ("SystemCallFilter=~bind", "Operation not permitted"),
        ("RestrictAddressFamilies=\nRestrictAddressFamilies=AF_UNIX", "Address family not supported"),
    ] {
        let (ready, log) = launched(more, &[]);
        assert!(!ready && log.contains(said), "{more}: {log}");
    }
    let (ready, log) = launched("AmbientCapabilities=\nAmbientCapabilities=CAP_NET_ADMIN", &[]);
    assert!(!ready && log.contains("CAP_BPF"), "{log}");
    let (ready, log) = launched("ProtectSomethingNew=yes", &[]);
    assert!(!ready && log.contains("ProtectSomethingNew"), "{log}");
}
