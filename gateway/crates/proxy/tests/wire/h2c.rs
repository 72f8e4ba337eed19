//! HTTP/2 with backends.

use std::{io::Write, net::SocketAddr};

use bytes::Bytes;
use h2::{Reason, server::Builder};
use http::{HeaderMap, Response};
use ir::{
    Action, BackendTarget, ClientSettings, Endpoint, EndpointAddress, Upstream, UpstreamId, UpstreamProtocol,
    UpstreamSettings,
};

use crate::{
    backend::{ask, get},
    client::{Answer, Client, send_body, to},
    configure::*,
    h2_backend::*,
    rules::{choice, host, prefix, rule, serve},
    script::*,
};

fn before(backend: SocketAddr, settings: UpstreamSettings) -> (proxy::Proxy, ReservedPort) {
    let target = BackendTarget::Upstream(std::sync::Arc::new(Upstream {
        id: UpstreamId("h2c".into()),
        name: "Service default/h2c:80".into(),
        endpoints: vec![Endpoint { address: EndpointAddress::Ip(backend) }],
        protocol: UpstreamProtocol::H2c,
        tls: None,
        settings,
    }));
    let action = Action::Forward(vec![choice(1, target)]);
    let mut proxy = start_with(proxy::Options {
        workers: Some(1),
        access_log: proxy::access_log::Sink::Off,
        ..proxy::Options::default()
    });
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), action))])];
    let (port, _) = serve(&mut proxy, ClientSettings::default(), hosts);
    (proxy, port)
}

fn plain(backend: SocketAddr) -> (proxy::Proxy, ReservedPort) {
    before(backend, UpstreamSettings::default())
}

#[tokio::test]
async fn requests_of_both_versions_share_one_connection() {
    let backend = Backend::answering(|request, mut respond| async move {
        echo_head(&request, &mut respond);
    });
    let (_proxy, port) = plain(backend.address);
    let address = port.address();
    let asked = tokio::task::spawn_blocking(move || {
        ask(address, "PUT", "/one?q", "a.test:80", &["te: trailers", "connection: te", "x: 1"])
    });
    let answer = asked.await.unwrap();
    assert_eq!((answer.status, answer.field("x-method")), (200, Some("PUT")));
    assert_eq!(answer.field("x-uri"), Some("http://a.test:80/one?q"));
    assert_eq!((answer.field("x-te"), answer.field("x-host")), (Some("trailers"), Some("no")));
    let mut client = Client::connect(address).await;
    for _ in 0..20 {
        let answer = client.get("/two").await.unwrap();
        assert_eq!((answer.status(), answer.field("x-uri")), (200, Some("http://a.test/two")));
    }
    assert_eq!(backend.accepted(), 1);
}

/// What a gRPC call does: both bodies at once, trailers at the end of both.
#[tokio::test]
async fn bodies_and_trailers_pass_both_ways_at_once() {
    let backend = Backend::answering(|request, mut respond| async move {
        let head = Response::builder().header("content-type", "application/grpc");
        let mut sender = respond.send_response(head.body(()).unwrap(), false).unwrap();
        let mut body = request.into_body();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            let mut rest = data;
            while !rest.is_empty() {
                sender.reserve_capacity(rest.len());
                let room = std::future::poll_fn(|cx| sender.poll_capacity(cx)).await.unwrap().unwrap();
                sender.send_data(rest.split_to(room.min(rest.len())), false).unwrap();
            }
        }
        let mut trailers = body.trailers().await.unwrap().unwrap();
        trailers.insert("grpc-status", "0".parse().unwrap());
        sender.send_trailers(trailers).unwrap();
    });
    let (_proxy, port) = plain(backend.address);
    let mut client = Client::connect(port.address()).await;
    let body: Vec<u8> = (0..3_000_000_u32).map(|place| (place % 251) as u8).collect();
    let (response, sender) = client.send(to("/a.B/C").method("POST").header("te", "trailers"), false).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "1".parse().unwrap());
    tokio::spawn(send_body(sender, Bytes::from(body.clone()), Some(trailers)));
    let answer = Answer::of(response.await.unwrap()).await.unwrap();
    assert_eq!((answer.status(), answer.field("content-type")), (200, Some("application/grpc")));
    assert!(answer.body == body, "{}", answer.body.len());
    let trailers = answer.trailers.unwrap();
    assert!(trailers["grpc-status"] == "0" && trailers["x-checksum"] == "1", "{trailers:?}");
}

#[tokio::test]
async fn a_connection_that_goes_away_is_replaced_and_its_streams_end() {
    let backend = Backend::start(Builder::new(), |mut connection, number| async move {
        if number > 0 {
            return serve_all(connection, |request, mut respond| async move {
                echo_head(&request, &mut respond);
            })
            .await;
        }
        // The first connection says goodbye with its first request, and answers that all the same.
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        connection.graceful_shutdown();
        respond.send_response(Response::builder().header("x-uri", "last").body(()).unwrap(), true).unwrap();
        while connection.accept().await.is_some() {}
    });
    let (_proxy, port) = plain(backend.address);
    let mut client = Client::connect(port.address()).await;
    assert_eq!(client.get("/").await.unwrap().field("x-uri"), Some("last"));
    for _ in 0..10 {
        let answer = client.get("/next").await.unwrap();
        assert_eq!((answer.status(), answer.field("x-uri")), (200, Some("http://a.test/next")));
    }
    assert_eq!(backend.accepted(), 2);
}

#[tokio::test]
async fn a_stream_that_is_refused_is_sent_once_more_and_one_that_is_reset_is_not() {
    let backend = Backend::start(Builder::new(), |mut connection, _| async move {
        let mut refused = false;
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            match request.uri().path() {
                "/refused" if !refused => respond.send_reset(Reason::REFUSED_STREAM),
                "/always" => respond.send_reset(Reason::REFUSED_STREAM),
                "/reset" => respond.send_reset(Reason::CANCEL),
                _ => echo_head(&request, &mut respond),
            }
            refused = true;
        }
    });
    let (_proxy, port) = plain(backend.address);
    let mut client = Client::connect(port.address()).await;
    let mut status =
        async |method: &str, path: &str| client.ask(to(path).method(method)).await.unwrap().status();
    assert_eq!(status("POST", "/refused").await, 200);
    assert_eq!(status("GET", "/always").await, 503);
    assert_eq!(status("GET", "/reset").await, 503);
    assert_eq!(status("GET", "/").await, 200);
    assert_eq!(backend.accepted(), 1);
}

#[tokio::test]
async fn another_connection_is_opened_where_streams_are_few() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(2);
    let (held, release) = (
        std::sync::Arc::new(tokio::sync::Semaphore::new(0)),
        std::sync::Arc::<tokio::sync::Notify>::default(),
    );
    let (count, wait) = (held.clone(), release.clone());
    let backend = Backend::start(builder, move |connection, _| {
        let (count, wait) = (count.clone(), wait.clone());
        serve_all(connection, move |request, mut respond| {
            let (count, wait) = (count.clone(), wait.clone());
            async move {
                if request.uri().path() == "/held" {
                    let told = wait.notified();
                    count.add_permits(1);
                    told.await;
                }
                echo_head(&request, &mut respond);
            }
        })
    });
    let (_proxy, port) = plain(backend.address);
    let mut client = Client::connect(port.address()).await;
    // Once for the backend's settings to come, once for them to be looked at.
    for _ in 0..2 {
        assert_eq!(client.get("/").await.unwrap().status(), 200);
    }
    let mut waiting = Vec::new();
    for number in 1..=6_u32 {
        waiting.push(client.send(to("/held"), true).await.0);
        held.acquire_many(1).await.unwrap().forget();
        assert_eq!(backend.accepted(), u64::from(number.div_ceil(2)));
    }
    release.notify_waiters();
    for response in waiting {
        assert_eq!(response.await.unwrap().status(), 200);
    }
}

#[test]
fn what_is_no_http_2_is_502_and_what_cannot_be_reached_503() {
    let backend = Script::always(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    let (_proxy, port) = plain(backend.address);
    assert_eq!(get(port.address(), "/").status, 502);
    let closes = Script::start(|mut stream, _| {
        read_exactly(&mut stream, 24);
    });
    let (_proxy, port) = plain(closes.address);
    assert_eq!(get(port.address(), "/").status, 503);
    let nobody = ReservedPort::new();
    let (_proxy, port) = plain(nobody.address());
    assert_eq!(get(port.address(), "/").status, 503);
}

#[test]
fn a_websocket_is_502() {
    let backend = Backend::answering(|request, mut respond| async move { echo_head(&request, &mut respond) });
    let (_proxy, port) = plain(backend.address);
    let fields = ["upgrade: websocket", "connection: upgrade"];
    assert_eq!(ask(port.address(), "GET", "/", "a.test", &fields).status, 502);
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn limits_hold_as_long_as_a_response() {
    let backend = Backend::answering(|_, mut respond| async move {
        let mut sender = respond.send_response(Response::new(()), false).unwrap();
        sender.send_data(Bytes::from_static(b"begins"), false).unwrap();
        let _ = std::future::poll_fn(|cx| sender.poll_reset(cx)).await;
    });
    let settings = UpstreamSettings { max_requests: 1, ..UpstreamSettings::default() };
    let (_proxy, port) = before(backend.address, settings);
    let mut held = connect(port.address());
    held.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert!(read_head(&mut held).unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!(get(port.address(), "/").status, 503);
    drop(held);
    eventually("the stream is reset, and its place free", || {
        let mut stream = connect(port.address());
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        read_head(&mut stream).unwrap().starts_with("HTTP/1.1 200 ")
    });
    assert_eq!(backend.accepted(), 1);
}

/// hyper sends a request's body from a task of its own, which must not keep a client's connection.
#[test]
fn a_client_that_is_answered_early_is_closed_with_its_body_unread() {
    let backend = Backend::answering(|request, mut respond| async move {
        echo_head(&request, &mut respond);
        // The stream is not reset: the backend would take the body for ever.
        std::future::pending::<()>().await;
    });
    let (proxy, port) = plain(backend.address);
    let mut stream = connect(port.address());
    stream.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nsome").unwrap();
    let head = read_head(&mut stream).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("connection: close"), "{head}");
    eventually("it is closed", || proxy.open_connections() == 0);
}
