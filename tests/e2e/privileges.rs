//! What the process may still do once it serves.

use std::{collections::BTreeMap, fs};

use crate::cafe::{Cafe, appliance};

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
    }
    let log = cafe.gateway.log();
    let line = log.lines().find(|line| line.contains("privileges")).expect("it is said");
    for name in ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON", "CAP_NET_BIND_SERVICE", "dropped="] {
        assert!(line.contains(name), "{line}");
    }
}
