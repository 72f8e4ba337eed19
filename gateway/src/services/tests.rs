use std::{io, sync::Arc};

use ir::{Bind, BindId, Protocol, SocketKey, Transport};

use super::*;

fn key(port: u16) -> SocketKey {
    SocketKey { transport: Transport::Tcp, address: "192.0.2.1".parse().expect("an address"), port }
}

fn bind(port: u16) -> Bind {
    Bind {
        id: BindId(format!("default/eg:{port}/TCP").into()),
        sockets: vec![key(port)],
        protocol: Protocol::Http,
        client: Arc::default(),
        listeners: Vec::new(),
    }
}

fn service(config: &ir::Gateway) -> GatewayService {
    GatewayService {
        namespace: "default".to_owned(),
        gateway: "eg".to_owned(),
        class: "own".to_owned(),
        labels: BTreeMap::from([("team".to_owned(), "shop".to_owned())]),
        annotations: BTreeMap::from([("contact".to_owned(), "shop@example.com".to_owned())]),
        addresses: vec!["192.0.2.1".parse().expect("an address")],
        ports: config.binds.iter().map(|bind| (bind.sockets[0].port, bind.id.clone())).collect(),
    }
}

#[test]
fn a_file_says_what_is_served_and_goes_with_its_gateway() {
    let runtime_dir = tempfile::tempdir().expect("a directory");
    let path = runtime_dir.path().join("services/default/eg.json");
    let config = ir::Gateway { binds: vec![bind(80), bind(81)], ..ir::Gateway::default() };
    let in_use = io::Error::from_raw_os_error(nix::errno::Errno::EADDRINUSE as i32);
    let unbound = |port| Unbound::new(bind(port).id, key(port), &in_use);

    let mut store = ServiceStore::open(runtime_dir.path());
    store.publish(&[service(&config)], &config, &[unbound(81)]).expect("written");
    let text = fs::read(&path).expect("a file");
    let expected = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "eg-own",
            "namespace": "default",
            "labels": {"team": "shop"},
            "annotations": {"contact": "shop@example.com"},
        },
        "spec": {"type": "LoadBalancer", "ports": [{"name": "tcp-80", "port": 80, "protocol": "TCP"}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    });
    assert_eq!(serde_json::from_slice::<Value>(&text).expect("JSON"), expected);

    store.publish(&[service(&config)], &config, &[unbound(80), unbound(81)]).expect("written");
    assert!(!path.exists(), "nothing of it is served");

    store.publish(&[service(&config)], &config, &[]).expect("written");
    assert!(path.exists());
    let mut next = ServiceStore::open(runtime_dir.path());
    next.publish(&[], &config, &[]).expect("removed");
    assert!(!path.exists(), "what an earlier process has written goes too");
}
