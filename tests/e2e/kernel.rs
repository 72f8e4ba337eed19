//! The kernel half follows the Appliance while it runs, says what it does, and leaves nothing behind.

use std::{fs, io::ErrorKind, net::TcpStream, time::Duration};

use e2e::{
    gateway::{Gateway, Place},
    http::Connection,
    namespaces,
    netns::{GATEWAY, Wire},
    wait,
};
use nix::sys::signal::Signal;

use crate::cafe::{Cafe, PORT, appliance, limited, manifests};

/// What becomes of a second connection while the only one that is allowed is held.
fn second(cafe: &Cafe) -> &'static str {
    cafe.wire.client.run(|| {
        let address = (GATEWAY.parse::<std::net::IpAddr>().expect("an address"), PORT).into();
        match TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => "refused",
            Err(error) if error.kind() == ErrorKind::TimedOut => "dropped",
            // Accepted, and reset before the client has seen that it is connected.
            Err(_) => "closed",
            Ok(stream) => match Connection::from(stream).get("cafe.example.com", "/") {
                Ok(_) => "served",
                Err(_) => "closed",
            },
        }
    })
}

/// Names in the BPF file system, without the kernel's own.
fn pins(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.runtime("bpf")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| !name.ends_with(".debug")).collect()
}

#[test]
fn the_kernel_half_follows_the_appliance_and_ends_with_it() {
    let files =
        [("appliance.yaml", appliance("{interfaces: [gw0], tiers: [TC]}")), ("limit.yaml", limited(1))];
    let Some(mut cafe) = Cafe::open(&files, &[]) else { return };
    let mut held = cafe.connect().expect("below the limit");
    assert_eq!(held.get("cafe.example.com", "/").expect("served").status, 200);
    assert_eq!(cafe.tier("gw0"), Some("tc"));
    assert_eq!(second(&cafe), "refused");
    cafe.place.write("appliance.yaml", &appliance("{interfaces: [gw0, none0]}"));
    wait::until("XDP takes over", || (cafe.tier("gw0") == Some("xdp")).then_some(()));
    assert_eq!(second(&cafe), "refused", "the count is what it was");
    let missing = cafe.metric("gateway_kernel_tier", &["interface=\"none0\"", "tier=\"accept\""]);
    assert_eq!(missing, 1.0, "an interface that is not there is said to be without");
    cafe.place.write("appliance.yaml", &appliance("{mode: Off, interfaces: [gw0]}"));
    wait::until("the kernel half ends", || pins(&cafe.place).is_empty().then_some(()));
    assert_eq!(second(&cafe), "closed", "user space has counted all along");
    cafe.place.write("appliance.yaml", &appliance("{interfaces: [gw0]}"));
    wait::until("XDP is back", || (cafe.tier("gw0") == Some("xdp")).then_some(()));
    // The held connection is older than the count of the kernel, not than that of user space.
    assert_eq!(second(&cafe), "closed");
    assert_eq!(held.get("cafe.example.com", "/").expect("nothing of it touches a connection").status, 200);
    drop(held);
    wait::until("the slot is free", || (second(&cafe) == "served").then_some(()));
    assert_eq!(pins(&cafe.place), ["v3"]);
    cafe.gateway.signal(Signal::SIGTERM);
    assert!(cafe.gateway.wait(), "an orderly end");
    assert_eq!(pins(&cafe.place), Vec::<String>::new());
}

#[test]
fn what_is_required_and_does_not_work_is_why_it_does_not_start() {
    if !namespaces() {
        return;
    }
    let (wire, place) = (Wire::new(), Place::new());
    place.write("cafe.yaml", &manifests());
    place.write("appliance.yaml", &appliance("{mode: Require, interfaces: [gw0, none0]}"));
    let mut gateway = Gateway::spawn(&wire.gateway, &place, &[]);
    assert!(!gateway.wait(), "it must not start");
    let log = gateway.log();
    assert!(log.contains("required") && log.contains("there is no interface none0"), "{log}");
    assert_eq!(pins(&place), Vec::<String>::new(), "and nothing is left of the try");
    let mut gateway = Gateway::spawn(&wire.gateway, &place, &["--kernel", "auto"]);
    gateway.wait_ready(&wire.gateway);
    gateway.signal(Signal::SIGTERM);
    assert!(gateway.wait(), "an orderly end");
}

/// Without named interfaces: those that carry the listeners' addresses, also those that come later; never the
/// loopback for a wildcard.
#[test]
fn interfaces_are_chosen_by_the_addresses_that_listeners_are_bound_to() {
    let Some(cafe) = Cafe::open(&[("appliance.yaml", appliance("{}")), ("limit.yaml", limited(1))], &[])
    else {
        return;
    };
    let held = cafe.connect().expect("below the limit");
    assert_eq!(cafe.tier("gw0"), Some("xdp"));
    assert_eq!(second(&cafe), "refused");
    let tiers = |interface: &str| {
        ["xdp", "tc", "accept"].map(|name| {
            let labels = [&*format!("interface=\"{interface}\""), &*format!("tier=\"{name}\"")];
            cafe.metric("gateway_kernel_tier", &labels)
        })
    };
    assert_eq!(tiers("lo"), [0.0; 3], "the wildcard does not mean it");
    let log = cafe.gateway.log();
    assert!(log.contains("XDP on gw0; chosen by the addresses that listeners are bound to"), "{log}");
    cafe.wire.gateway.ip("link add gw1 type veth peer name gw2");
    cafe.wire.gateway.ip("address add 203.0.113.1/24 dev gw1");
    cafe.wire.gateway.ip("link set gw1 up");
    cafe.gateway.signal(Signal::SIGHUP);
    wait::until("the new interface is found", || (tiers("gw1") == [1.0, 0.0, 0.0]).then_some(()));
    assert_eq!(tiers("gw2"), [0.0; 3], "it carries no address");
    cafe.wire.gateway.ip("address del 203.0.113.1/24 dev gw1");
    cafe.gateway.signal(Signal::SIGHUP);
    wait::until("it is let go", || (tiers("gw1") == [0.0; 3]).then_some(()));
    assert_eq!(cafe.tier("gw0"), Some("xdp"));
    drop(held);
}
