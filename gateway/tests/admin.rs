use std::{io::Write, net::TcpStream};

use crate::harness::{Gateway, Place, free_port, gateway_manifest};

#[test]
fn every_page_answers() {
    let place = Place::new();
    let port = free_port();
    place.write("a.yaml", &gateway_manifest(port));
    let gateway = Gateway::start(&place);
    for path in ["/", "/healthz", "/readyz", "/metrics", "/status", "/refused", "/config_dump"] {
        assert_eq!(gateway.get(path).0, 200, "{path}");
    }
    assert_eq!(gateway.get("/nothing").0, 404);
    assert_eq!(gateway.metric("gateway_config_generation "), Some(1.0));
    let (_, status) = gateway.get("/status");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["state"]["listeners"][0]["address"], format!("127.0.0.1:{port}/TCP"), "{status}");
    let (_, dump) = gateway.get("/config_dump");
    assert!(dump.contains("default/eg/http"), "{dump}");
}

#[test]
fn silent_connections_do_not_keep_others_out() {
    let place = Place::new();
    let gateway = Gateway::start(&place);
    let silent: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(gateway.admin).expect("accepted or queued");
            stream.write_all(b"GET /me").expect("sent");
            stream
        })
        .collect();
    assert_eq!(gateway.get("/healthz").0, 200);
    drop(silent);
}
