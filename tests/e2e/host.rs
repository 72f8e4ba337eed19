//! The host's interfaces and addresses come, go and move: the gateway follows what the kernel tells, without a signal
//! and without waiting for its next look.

use std::io::ErrorKind;

use e2e::{
    gateway::admin,
    http::Connection,
    netns::{GATEWAY, GATEWAY6},
    wait,
};

use crate::cafe::{Cafe, appliance, limited};

/// Port of the Gateway on an address of its own.
const LATE_PORT: u16 = 8090;

/// An address that no interface carries at first.
const LATE: &str = "203.0.113.1";

/// A second Gateway, on that address.
fn late() -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: late, namespace: default}}
spec:
  gatewayClassName: eg
  addresses: [{{type: IPAddress, value: {LATE}}}]
  listeners:
  - {{name: http, port: {LATE_PORT}, protocol: HTTP}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: late, namespace: default}}
spec:
  parentRefs: [{{name: late}}]
  rules:
  - backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: echo}}]
"
    )
}

/// True: one more connection is refused by the kernel.
fn is_refused(cafe: &Cafe) -> bool {
    cafe.connect().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// What is followed here is told by the kernel, and not found by a later look.
fn was_told(cafe: &Cafe) -> bool {
    cafe.gateway.log().contains("the host's addresses are others than before")
}

#[test]
fn a_listener_is_bound_when_its_address_comes() {
    let Some(cafe) = Cafe::open(&[("appliance.yaml", appliance("{mode: Off}")), ("late.yaml", late())], &[])
    else {
        return;
    };
    let gateway = &cafe.wire.gateway;
    let is_shown = || {
        let page = gateway.run(|| admin("/status")).unwrap_or_default();
        page.contains(&format!("{LATE}:{LATE_PORT}/TCP"))
    };
    let is_served = || {
        let get = || Connection::open((LATE, LATE_PORT))?.get("cafe.example.com", "/");
        gateway.run(|| get().is_ok_and(|response| response.status == 200))
    };
    assert!(!is_shown() && !is_served(), "no interface has its address");
    for _ in 0..2 {
        gateway.ip(&format!("address add {LATE}/32 dev gw0"));
        wait::until("it is served", || is_served().then_some(()));
        wait::until("it is shown", || is_shown().then_some(()));
        assert!(was_told(&cafe), "{}", cafe.gateway.log());
        gateway.ip(&format!("address del {LATE}/32 dev gw0"));
        wait::until("it is not listened on", || (!is_shown()).then_some(()));
    }
    assert_eq!(cafe.connect().and_then(|mut one| one.get("a", "/")).expect("the others serve").status, 200);
}

#[test]
fn the_kernel_half_follows_interfaces_that_come_go_and_change_their_names() {
    let Some(cafe) = Cafe::open(&[("appliance.yaml", appliance("{}")), ("limit.yaml", limited(1))], &[])
    else {
        return;
    };
    let gateway = &cafe.wire.gateway;
    let becomes = |interface: &str, expected: Option<&str>| {
        wait::until(&format!("{interface}: {expected:?}"), || {
            (cafe.tier(interface) == expected).then_some(())
        });
    };
    assert_eq!((cafe.tier("gw0"), cafe.tier("gw1")), (Some("xdp"), None));
    gateway.ip("link add gw1 type veth peer name gw2");
    gateway.ip(&format!("address add {LATE}/24 dev gw1"));
    gateway.ip("link set gw1 up");
    becomes("gw1", Some("xdp"));
    assert!(was_told(&cafe), "{}", cafe.gateway.log());
    gateway.ip("link set gw1 down");
    gateway.ip("link set gw1 name gw9");
    becomes("gw9", Some("xdp"));
    becomes("gw1", None);
    gateway.ip("link delete gw9");
    becomes("gw9", None);
    assert_eq!(cafe.tier("gw0"), Some("xdp"));
}

#[test]
fn a_limit_holds_on_an_interface_that_is_made_again() {
    let Some(cafe) =
        Cafe::open(&[("appliance.yaml", appliance("{interfaces: [gw0]}")), ("limit.yaml", limited(1))], &[])
    else {
        return;
    };
    let held = cafe.connect().expect("below the limit");
    assert!(is_refused(&cafe));
    drop(held);
    cafe.wire.cut();
    wait::until("it is missed", || (cafe.tier("gw0") == Some("accept")).then_some(()));
    cafe.wire.join();
    wait::until("it is back", || (cafe.tier("gw0") == Some("xdp")).then_some(()));
    assert!(was_told(&cafe), "{}", cafe.gateway.log());
    let mut held = wait::until("there is room", || cafe.connect().ok());
    assert_eq!(held.get("cafe.example.com", "/").expect("served").status, 200);
    assert!(is_refused(&cafe), "by the kernel");
}

/// As with a bond: the interface becomes a port of another one, which has the address from then on.
#[test]
fn a_limit_holds_when_the_address_moves_to_an_interface_above() {
    let Some(cafe) = Cafe::open(&[("appliance.yaml", appliance("{}")), ("limit.yaml", limited(1))], &[])
    else {
        return;
    };
    assert_eq!(cafe.tier("gw0"), Some("xdp"));
    let gateway = &cafe.wire.gateway;
    gateway.ip("link add br0 type bridge");
    gateway.ip("link set br0 up");
    gateway.ip(&format!("address del {GATEWAY}/24 dev gw0"));
    gateway.ip(&format!("address del {GATEWAY6}/64 dev gw0"));
    gateway.ip("link set gw0 master br0");
    gateway.ip(&format!("address add {GATEWAY}/24 dev br0"));
    gateway.ip(&format!("address add {GATEWAY6}/64 dev br0 nodad"));
    wait::until("TC is at work above", || (cafe.tier("br0") == Some("tc")).then_some(()));
    wait::until("the port is let go of", || cafe.tier("gw0").is_none().then_some(()));
    let mut held = wait::until("the bridge forwards", || cafe.connect().ok());
    assert_eq!(held.get("cafe.example.com", "/").expect("served").status, 200);
    assert!(is_refused(&cafe), "by the kernel");
    assert!(cafe.connect6().is_err(), "of the other family too");
    drop(held);
    wait::until("the slot is free", || {
        let response = cafe.connect6().ok()?.get("cafe.example.com", "/").ok()?;
        (response.status == 200).then_some(())
    });
}
