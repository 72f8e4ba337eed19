//! What becomes of HTTP/2 streams when their listener changes, goes, or the process ends.

use std::{
    io::Write,
    sync::{Arc, mpsc},
};

use ir::{Action, Bind, ClientSettings};

use crate::{
    client::{Answer, Client, to},
    configure::*,
    frames::*,
    rules::{self, *},
    script::*,
};

/// A backend that answers a request once it is told to.
struct Held {
    backend: Script,
    asked: mpsc::Receiver<()>,
    go: mpsc::Sender<()>,
}

impl Held {
    fn start() -> Self {
        let (asking, asked) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let gone = Arc::new(std::sync::Mutex::new(gone));
        let backend = Script::start(move |mut stream, _| {
            while read_head(&mut stream).is_some() {
                asking.send(()).unwrap();
                gone.lock().unwrap().recv_timeout(PATIENCE).unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nheld").unwrap();
            }
        });
        Self { backend, asked, go }
    }

    fn bind(&self, port: &ReservedPort, status: u16) -> Bind {
        let entries = vec![
            (prefix("/held"), rule("held", Vec::new(), rules::to(self.backend.address))),
            (prefix("/"), rule("all", Vec::new(), Action::Respond(status))),
        ];
        bind(port.key(), ClientSettings::default(), vec![host(None, entries)])
    }
}

#[tokio::test]
async fn a_reload_leaves_streams_alone_and_the_next_ones_see_it() {
    let held = Held::start();
    let (mut proxy, port) = (start(), ReservedPort::new());
    publish(&mut proxy, gateway(vec![held.bind(&port, 201)]));
    let mut client = Client::connect(port.address()).await;
    let mut waiting = Vec::new();
    for generation in 0..20 {
        let status = 201 + generation % 5;
        publish(&mut proxy, gateway(vec![held.bind(&port, status)]));
        let (response, _) = client.send(to("/held"), true).await;
        waiting.push(response);
        assert_eq!(client.get("/").await.unwrap().status(), status);
    }
    tokio::task::spawn_blocking(move || {
        for _ in 0..20 {
            held.asked.recv_timeout(PATIENCE).unwrap();
            held.go.send(()).unwrap();
        }
        held
    })
    .await
    .unwrap();
    for response in waiting {
        assert_eq!(Answer::of(response.await.unwrap()).await.unwrap().text(), "held");
    }
}

#[tokio::test]
async fn a_removed_listener_says_goodbye_and_its_streams_end() {
    let held = Held::start();
    let (mut proxy, port) = (start(), ReservedPort::new());
    publish(&mut proxy, gateway(vec![held.bind(&port, 201)]));
    let mut client = Client::connect(port.address()).await;
    assert_eq!(client.get("/").await.unwrap().status(), 201);
    let (response, _) = client.send(to("/held"), true).await;
    let idle = Client::connect(port.address()).await;
    let held = tokio::task::spawn_blocking(move || {
        held.asked.recv_timeout(PATIENCE).unwrap();
        held
    })
    .await
    .unwrap();
    publish(&mut proxy, gateway(vec![]));
    idle.ended.await.unwrap().unwrap();
    held.go.send(()).unwrap();
    assert_eq!(Answer::of(response.await.unwrap()).await.unwrap().text(), "held");
    client.ended.await.unwrap().unwrap();
}

#[test]
fn draining_waits_for_streams_and_takes_those_that_were_on_their_way() {
    let held = Held::start();
    let (mut proxy, port) = (start(), ReservedPort::new());
    publish(&mut proxy, gateway(vec![held.bind(&port, 201)]));
    let mut raw = Raw::connect(port.address(), &[]);
    raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &get("/held", &[]));
    held.asked.recv_timeout(PATIENCE).unwrap();
    let draining = std::thread::spawn(move || proxy.drain(PATIENCE));
    let first = raw.until(GOAWAY).unwrap();
    assert_eq!((first.code(), &first.payload[..4]), (0, &[0x7f, 0xff, 0xff, 0xff][..]));
    let ping = raw.until(PING).unwrap();
    // Sent before the client could know.
    raw.send(HEADERS, END_STREAM | END_HEADERS, 3, &get("/", &[]));
    raw.send(PING, ACK, 0, &ping.payload);
    let mut said = [raw.next().unwrap(), raw.next().unwrap()];
    said.sort_by_key(|frame| frame.kind);
    assert_eq!((said[0].kind, said[0].stream), (HEADERS, 3), "{said:?}");
    assert_eq!((said[1].kind, said[1].code(), &said[1].payload[..4]), (GOAWAY, 0, &[0, 0, 0, 3][..]));
    held.go.send(()).unwrap();
    assert_eq!(raw.until(HEADERS).unwrap().stream, 1);
    assert_eq!(raw.until(DATA).unwrap().payload, b"held");
    assert_eq!(raw.next(), None);
    assert!(draining.join().unwrap());
}

#[test]
fn a_client_that_does_not_answer_a_goodbye_is_not_waited_for() {
    let held = Held::start();
    let (mut proxy, port) = (start(), ReservedPort::new());
    publish(&mut proxy, gateway(vec![held.bind(&port, 201)]));
    let mut raw = Raw::connect(port.address(), &[]);
    raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &get("/", &[]));
    raw.until(HEADERS).unwrap();
    publish(&mut proxy, gateway(vec![]));
    raw.until(PING).unwrap();
    assert_eq!(raw.until(GOAWAY).unwrap().payload[..4], [0, 0, 0, 1]);
    assert_eq!(raw.next(), None);
}
