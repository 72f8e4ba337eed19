use std::sync::Arc;

use ir::{Listener, Protocol, Transport};

use super::*;
use crate::status_store::Document;

fn key(address: &str) -> SocketKey {
    SocketKey { transport: Transport::Tcp, address: address.parse().expect("an address"), port: 80 }
}

fn listener(id: &str) -> Arc<Listener> {
    Arc::new(Listener {
        id: ListenerId(id.into()),
        hostname: None,
        tls: None,
        client: Arc::default(),
        hosts: Vec::new(),
        connection: None,
        policies: ir::PolicyNames::default(),
        broken: false,
    })
}

fn bind(addresses: &[&str]) -> Bind {
    Bind {
        id: BindId("default/eg:80/TCP".into()),
        sockets: addresses.iter().map(|address| key(address)).collect(),
        protocol: Protocol::Http,
        client: Arc::default(),
        listeners: vec![listener("default/eg/http")],
    }
}

fn programmed(kind: &str, name: &str) -> ObjectStatus {
    let conditions = json!([{"type": "Programmed", "status": "True", "reason": "Programmed"}]);
    ObjectStatus {
        id: ObjectId {
            kind: kind.into(),
            group: "gateway.networking.k8s.io".into(),
            namespace: "default".into(),
            name: name.into(),
        },
        document: Document {
            api_version: "gateway.networking.k8s.io/v1".to_owned(),
            kind: kind.to_owned(),
            metadata: Metadata {
                name: name.to_owned(),
                namespace: Some("default".to_owned()),
                uid: None,
                generation: 3,
            },
            status: json!({"conditions": conditions, "listeners": [{"name": "http", "conditions": conditions}]}),
        },
    }
}

/// Status of `Programmed` of the Gateway and of its listener, after what `missing` says.
fn laid_over(bind: Bind, missing: &[&str]) -> [[String; 2]; 2] {
    let error = io::Error::from_raw_os_error(Errno::EADDRINUSE as i32);
    let unbound: Vec<Unbound> =
        missing.iter().map(|address| Unbound::new(bind.id.clone(), key(address), &error)).collect();
    let config = ir::Gateway { binds: vec![bind], ..ir::Gateway::default() };
    let others = || [programmed("Gateway", "eg2"), programmed("ListenerSet", "eg")];
    let [gateway, set] = others();
    let mut statuses = [programmed("Gateway", "eg"), gateway, set];
    let said: Vec<bool> = statuses.iter_mut().map(|status| lay_over(status, &config, &unbound)).collect();
    assert_eq!(said, [!missing.is_empty(), false, false]);
    assert_eq!(statuses[1..], others(), "the status of another object is its own");
    let status = &statuses[0].document.status;
    [&status["conditions"][0], &status["listeners"][0]["conditions"][0]].map(|condition| {
        ["status", "reason"].map(|key| condition[key].as_str().unwrap_or_default().to_owned())
    })
}

#[test]
fn what_listens_nowhere_is_not_programmed() {
    let programmed = ["True", "Programmed"].map(str::to_owned);
    let address = ["False", "AddressNotUsable"].map(str::to_owned);
    let port = ["False", "PortUnavailable"].map(str::to_owned);
    let two = ["192.0.2.1", "192.0.2.2"];
    assert_eq!(laid_over(bind(&two), &[]), [programmed.clone(), programmed.clone()]);
    assert_eq!(laid_over(bind(&two), &two[..1]), [address.clone(), programmed]);
    assert_eq!(laid_over(bind(&two), &two), [address, port]);
}

#[test]
fn a_listener_of_a_set_is_told_of_in_the_set() {
    let mut bind = bind(&["192.0.2.1"]);
    bind.listeners = vec![listener("default/eg/default/shop/http")];
    let error = io::Error::from_raw_os_error(Errno::EADDRINUSE as i32);
    let unbound = [Unbound::new(bind.id.clone(), key("192.0.2.1"), &error)];
    let config = ir::Gateway { binds: vec![bind], ..ir::Gateway::default() };
    let mut statuses = [programmed("Gateway", "eg"), programmed("ListenerSet", "shop")];
    let said: Vec<bool> = statuses.iter_mut().map(|status| lay_over(status, &config, &unbound)).collect();
    assert_eq!(said, [false, true]);
    assert_eq!(statuses[0], programmed("Gateway", "eg"), "no listener of its own is missing");
    let status = &statuses[1].document.status;
    for conditions in [&status["conditions"], &status["listeners"][0]["conditions"]] {
        assert_eq!(conditions[0]["reason"], "PortUnavailable");
        assert_eq!(conditions[0]["status"], "False");
    }
}

#[test]
fn a_host_without_ipv6_may_lack_the_wildcard_of_it() {
    let no_ipv6 = io::Error::from_raw_os_error(Errno::EAFNOSUPPORT as i32);
    assert!(is_expected(&bind(&["0.0.0.0", "::"]), &key("::"), &no_ipv6));
    assert!(!is_expected(&bind(&["::"]), &key("::"), &no_ipv6), "asked for by itself");
    let in_use = io::Error::from_raw_os_error(Errno::EADDRINUSE as i32);
    assert!(!is_expected(&bind(&["0.0.0.0", "::"]), &key("::"), &in_use));
}
