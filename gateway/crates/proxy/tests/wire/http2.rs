//! HTTP/2 with clients, in the clear.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use h2::Reason;
use http::HeaderMap;
use ir::{Action, ClientSettings, ClientTimeouts};

use crate::{
    backend::*,
    client::{Answer, Client, send_body, to},
    configure::*,
    frames::{self, *},
    rules::*,
    script::*,
};

fn before(backend: std::net::SocketAddr) -> (proxy::Proxy, ReservedPort) {
    with(ClientSettings::default(), backend)
}

fn with(client: ClientSettings, backend: std::net::SocketAddr) -> (proxy::Proxy, ReservedPort) {
    let mut proxy = start();
    let entries = vec![
        (prefix("/teapot"), rule("teapot", Vec::new(), Action::Respond(418))),
        (prefix("/"), rule("all", Vec::new(), to_backend(backend))),
    ];
    let (port, _) = serve(&mut proxy, client, vec![host(None, entries)]);
    (proxy, port)
}

fn to_backend(address: std::net::SocketAddr) -> Action {
    rules_to(address)
}

use crate::rules::to as rules_to;

#[tokio::test]
async fn many_streams_are_served_at_once() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let client = Client::connect(port.address()).await;
    let streams = (0..300).map(|number| {
        let mut client = Client { sender: client.sender.clone(), ended: tokio::spawn(async { Ok(()) }) };
        tokio::spawn(async move { client.get(&format!("/{number}?q")).await.unwrap() })
    });
    for (number, stream) in streams.collect::<Vec<_>>().into_iter().enumerate() {
        let answer = stream.await.unwrap();
        assert_eq!((answer.status(), answer.field("x-backend")), (200, Some("echo")));
        assert!(
            answer.text().starts_with(&format!("GET /{number}?q HTTP/1.1\r\nhost: a.test\r\n")),
            "{answer:?}"
        );
        assert_eq!(answer.field("content-length"), Some(answer.body.len().to_string().as_str()));
        assert!(answer.field("keep-alive").is_none());
    }
    assert_eq!(echo.answered(), 300);
}
