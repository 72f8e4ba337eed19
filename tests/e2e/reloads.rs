//! 200 reloads under load: every request is served by exactly one generation, none fails, and the listener
//! keeps its very sockets. A drain finishes what has begun.

use std::{
    collections::BTreeSet,
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use e2e::{netns::GATEWAY, wait};
use nix::sys::signal::Signal;

use crate::cafe::{Cafe, PORT, appliance};

/// A route that stamps its generation on the request and on the response.
fn stamped(generation: usize) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: stamped, namespace: default}}
spec:
  parentRefs: [{{name: eg}}]
  rules:
  - matches: [{{path: {{type: PathPrefix, value: /stamped}}}}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {{set: [{{name: x-generation, value: \"{generation}\"}}]}}
    - type: ResponseHeaderModifier
      responseHeaderModifier: {{set: [{{name: x-generation, value: \"{generation}\"}}]}}
    backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: echo}}]
"
    )
}

fn generation(cafe: &Cafe) -> Option<usize> {
    let response = cafe.connect().ok()?.get("x", "/stamped").ok()?;
    response.header("x-generation")?.parse().ok()
}

/// Inodes of the listening sockets, as the kernel's socket table says.
fn listening(cafe: &Cafe) -> BTreeSet<String> {
    let tables = cafe.wire.gateway.run(|| {
        ["tcp", "tcp6"].map(|table| {
            std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default()
        })
    });
    let port = format!(":{PORT:04X} ");
    let lines = tables.iter().flat_map(|table| table.lines().skip(1)).filter(|line| line.contains(&port));
    lines
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words[3] == "0A")
        .map(|words| words[9].to_owned())
        .collect()
}

#[test]
fn two_hundred_reloads_under_load_lose_nothing() {
    let more = [("appliance.yaml", appliance("{mode: Off}")), ("stamped.yaml", stamped(0))];
    let Some(cafe) = Cafe::open(&more, &[]) else { return };
    wait::until("the route is served", || generation(&cafe));
    let sockets = listening(&cafe);
    assert!(!sockets.is_empty());
    let (stop, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..4 {
            let (cafe, stop, requests) = (&cafe, &stop, &requests);
            scope.spawn(move || {
                let mut connection = cafe.connect().expect("the gateway listens");
                while !stop.load(Ordering::Relaxed) {
                    if client == 0 {
                        connection = cafe.connect().expect("the gateway always listens");
                    }
                    let response = connection.get("x", "/stamped").expect("no request is lost");
                    assert_eq!(response.status, 200);
                    assert_eq!(response.header("x-generation"), response.header("x-seen-generation"));
                    requests.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let http2 = scope.spawn(|| h2_streams(&cafe, &stop));
        for number in 1..=200 {
            cafe.place.write("stamped.yaml", &stamped(number));
            wait::until("the new generation serves", || generation(&cafe).filter(|found| *found == number));
        }
        stop.store(true, Ordering::Relaxed);
        let streams = http2.join().expect("no stream failed");
        assert!(streams > 0, "HTTP/2 streams were served");
    });
    assert!(requests.load(Ordering::Relaxed) > 200);
    assert_eq!(listening(&cafe), sockets, "an untouched listener keeps its sockets");
}

/// Eight requests at a time on one HTTP/2 connection, which outlives every reload; how many were compared.
fn h2_streams(cafe: &Cafe, stop: &AtomicBool) -> usize {
    let socket = cafe.wire.client.run(|| TcpStream::connect((GATEWAY, PORT))).expect("the gateway listens");
    socket.set_nonblocking(true).expect("a socket of our own");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let socket = tokio::net::TcpStream::from_std(socket).expect("a socket of our own");
        let (requests, connection) = h2::client::handshake(socket).await.expect("HTTP/2 is spoken");
        let connection = tokio::spawn(connection);
        let mut streams = 0;
        while !stop.load(Ordering::Relaxed) {
            let batch = (0..8).map(|_| h2_stream(requests.clone()));
            let answers: Vec<_> = batch.map(tokio::spawn).collect();
            for answer in answers {
                answer.await.expect("no stream failed");
                streams += 1;
            }
        }
        drop(requests);
        connection.await.expect("our own task").expect("the connection ends in order");
        streams
    })
}

async fn h2_stream(requests: h2::client::SendRequest<bytes::Bytes>) {
    let request = http::Request::get(format!("http://x:{PORT}/stamped")).body(()).expect("well-formed");
    let mut requests = requests.ready().await.expect("the connection goes on");
    let (response, _) = requests.send_request(request, true).expect("the connection goes on");
    let response = response.await.expect("no request is lost");
    let header = |name: &str| response.headers().get(name).cloned();
    assert_eq!(response.status(), 200);
    assert!(header("x-generation").is_some());
    assert_eq!(header("x-generation"), header("x-seen-generation"));
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        let length = data.expect("the body is whole").len();
        body.flow_control().release_capacity(length).expect("what was received");
    }
}

#[test]
fn a_drain_finishes_what_has_begun() {
    let Some(mut cafe) = Cafe::open(&[("appliance.yaml", appliance("{mode: Off}"))], &[]) else { return };
    let mut idle = cafe.connect().expect("the gateway listens");
    assert_eq!(idle.get("x", "/").expect("served").status, 200);
    let mut busy = cafe.connect().expect("the gateway listens");
    busy.send(b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhello").expect("sent");
    wait::until("the request has begun", || {
        (cafe.metric("gateway_connections_open", &["listener=\"default/eg/http\""]) >= 2.0).then_some(())
    });
    cafe.gateway.signal(Signal::SIGTERM);
    assert_eq!(idle.rest().expect("an idle connection is closed, not reset"), b"");
    busy.send(b"world").expect("still open");
    let response = busy.response().expect("the request that had begun is answered");
    assert_eq!((response.status, response.body.contains("\"bodyBytes\": 10")), (200, true));
    assert!(cafe.gateway.wait(), "an orderly end: {}", cafe.gateway.log());
    assert!(cafe.connect().is_err(), "nobody listens any more");
}
