//! HTTP/2 with clients, in the clear.

use std::{
    io::{Read, Write},
    net::SocketAddr,
};

use bytes::Bytes;
use http::HeaderMap;
use ir::{AccessLogFormat, Action, ClientSettings, Underscores};
use proxy::{Options, access_log::Sink};

use crate::{
    backend::*,
    client::{Answer, Client, send_body, to},
    configure::*,
    frames::{self, *},
    rules::{self, *},
    script::*,
};

fn before(backend: SocketAddr) -> (proxy::Proxy, ReservedPort) {
    with(ClientSettings::default(), backend)
}

fn with(client: ClientSettings, backend: SocketAddr) -> (proxy::Proxy, ReservedPort) {
    let mut proxy = start();
    let entries = vec![
        (prefix("/teapot"), rule("teapot", Vec::new(), Action::Respond(418))),
        (prefix("/"), rule("all", Vec::new(), rules::to(backend))),
    ];
    let (port, _) = serve(&mut proxy, client, vec![host(None, entries)]);
    (proxy, port)
}

#[tokio::test]
async fn many_streams_are_served_at_once() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let client = Client::connect(port.address()).await;
    let streams = (0..300).map(|number| {
        let mut client = client.share();
        tokio::spawn(async move { client.get(&format!("/{number}?q")).await.unwrap() })
    });
    for (number, stream) in streams.collect::<Vec<_>>().into_iter().enumerate() {
        let answer = stream.await.unwrap();
        assert_eq!((answer.status(), answer.field("x-backend")), (200, Some("echo")));
        let asked = format!("GET /{number}?q HTTP/1.1\r\nhost: a.test\r\n");
        assert!(answer.text().starts_with(&asked), "{answer:?}");
        assert_eq!(answer.field("content-length"), Some(answer.body.len().to_string().as_str()));
        assert!(answer.field("keep-alive").is_none());
    }
    assert_eq!(echo.answered(), 300);
}

#[tokio::test]
async fn bodies_pass_both_ways_within_their_windows() {
    let backend = Script::start(|mut stream, _| {
        while let Some(head) = read_head(&mut stream) {
            assert!(head.contains("content-length: 3000000\r\n"), "{head}");
            let body = read_exactly(&mut stream, 3_000_000);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3000000\r\n\r\n").unwrap();
            stream.write_all(&body).unwrap();
        }
    });
    let (_proxy, port) = before(backend.address);
    let body: Bytes = (0..3_000_000_u32).map(|place| (place % 251) as u8).collect::<Vec<u8>>().into();
    let client = Client::connect(port.address()).await;
    let streams = (0..4).map(|_| {
        let (mut client, body) = (client.share(), body.clone());
        tokio::spawn(async move {
            let request = to("/").method("PUT").header("content-length", "3000000");
            let (response, sender) = client.send(request, false).await;
            tokio::spawn(send_body(sender, body.clone(), None));
            let answer = Answer::of(response.await.unwrap()).await.unwrap();
            assert_eq!(answer.field("content-length"), Some("3000000"));
            assert!(answer.body == body);
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        stream.await.unwrap();
    }
}

#[tokio::test]
async fn chunks_and_trailers_pass_both_ways() {
    let backend = Script::start(|mut stream, _| {
        let head = read_head(&mut stream).unwrap();
        assert!(
            head.contains("transfer-encoding: chunked\r\n") && head.contains("te: trailers\r\n"),
            "{head}"
        );
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n\r\n") {
            body.extend(read_exactly(&mut stream, 1));
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
        stream.write_all(&body).unwrap();
    });
    let (_proxy, port) = before(backend.address);
    let mut client = Client::connect(port.address()).await;
    let (response, sender) = client.send(to("/").method("POST").header("te", "trailers"), false).await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    trailers.insert("content-length", "7".parse().unwrap());
    send_body(sender, Bytes::from_static(b"hello"), Some(trailers)).await;
    let answer = Answer::of(response.await.unwrap()).await.unwrap();
    assert_eq!(answer.text(), "hello");
    let trailers = answer.trailers.unwrap();
    assert!(trailers["x-sum"] == "1" && trailers.len() == 1, "{trailers:?}");
    assert!(answer.head.headers.get("content-length").is_none());
}

#[tokio::test]
async fn head_and_bodiless_statuses_have_no_body() {
    let backend = Script::start(|mut stream, _| {
        while let Some(head) = read_head(&mut stream) {
            let answer: &[u8] = match head.split(' ').nth(1).unwrap() {
                "/204" => b"HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\netag: \"x\"\r\n\r\n",
                _ => b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
            };
            stream.write_all(answer).unwrap();
        }
    });
    let (_proxy, port) = before(backend.address);
    let mut client = Client::connect(port.address()).await;
    for (method, path, status, length) in
        [("HEAD", "/", 200, Some("7")), ("GET", "/204", 204, None), ("GET", "/304", 304, Some("7"))]
    {
        let answer = client.ask(to(path).method(method)).await.unwrap();
        assert_eq!((answer.status(), answer.field("content-length")), (status, length), "{path}");
        assert!(answer.body.is_empty());
    }
    let refused = client.ask(to("/../x").method("HEAD")).await.unwrap();
    assert!(refused.status() == 400 && refused.body.is_empty(), "{refused:?}");
    assert_eq!(backend.accepted(), 1);
}

#[tokio::test]
async fn what_no_rule_serves_is_answered() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let mut client = Client::connect(port.address()).await;
    let teapot = client.get("/teapot").await.unwrap();
    assert!(teapot.status() == 418 && teapot.field("date").is_some());
    let refused = client.get("/../x").await.unwrap();
    assert!(refused.status() == 400 && refused.text() == "the path climbs above the root\n", "{refused:?}");
    let connect = http::Request::builder().method("CONNECT").uri("a.test:443");
    assert_eq!(client.ask(connect).await.unwrap().status(), 405);
    let many = (0..101).fold(to("/"), |request, _| request.header("x", "1"));
    assert_eq!(client.ask(many).await.unwrap().status(), 431);
    let large = to("/").header("x", "a".repeat(61 << 10));
    assert_eq!(client.ask(large).await.unwrap().status(), 431);
    assert_eq!(echo.answered(), 0);
    assert_eq!(client.get("/").await.unwrap().status(), 200);
}

#[tokio::test]
async fn cookies_become_one_field_before_http_1() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let mut client = Client::connect(port.address()).await;
    let request = to("/").header("cookie", "a=1").header("cookie", "b=2").header("expect", "100-continue");
    let answer = client.ask(request).await.unwrap();
    assert!(answer.text().contains("\r\ncookie: a=1; b=2\r\n"), "{answer:?}");
    assert!(!answer.text().contains("expect"), "{answer:?}");
}

#[test]
fn what_is_no_request_resets_its_stream_and_no_other() {
    let echo = Echo::start("echo");
    let (_proxy, port) = before(echo.address);
    let plain = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test")];
    let instead = |name: &'static str, value: &'static str| {
        plain.map(|(found, kept)| if found == name { (name, value) } else { (found, kept) }).to_vec()
    };
    let and = |name: &'static str, value: &'static str| [&plain[..], &[(name, value)]].concat();
    let mut raw = Raw::connect(port.address(), &[]);
    let mut stream = 1;
    for fields in [
        and("host", "b.test"),
        and("te", "gzip"),
        and("te", "trailers, gzip"),
        and("connection", "close"),
        and("transfer-encoding", "chunked"),
        and("keep-alive", "1"),
        and("proxy-connection", "close"),
        and("upgrade", "h2c"),
        and("x_underscore", "1"),
        and("content-length", "x"),
        and(":path", "/two"),
        [and("content-length", "0"), vec![("content-length", "0")]].concat(),
        [vec![("x", "1")], plain.to_vec()].concat(),
        plain[..3].to_vec(),
        plain[1..].to_vec(),
        instead(":authority", "u:p@a.test"),
        instead(":authority", "a.test/x"),
        instead(":authority", "a test"),
        instead(":authority", ""),
        instead(":scheme", "ftp"),
        instead(":path", "x"),
        instead(":path", "/a b"),
        instead(":path", "/a\r"),
        instead(":path", ""),
        instead(":path", "*"),
    ] {
        raw.send(HEADERS, END_STREAM | END_HEADERS, stream, &block(&fields));
        let reset = raw.until(RST_STREAM).unwrap_or_else(|| panic!("the connection ends with {fields:?}"));
        assert_eq!((reset.stream, reset.code()), (stream, PROTOCOL_ERROR), "{fields:?}");
        stream += 2;
    }
    raw.send(HEADERS, END_STREAM | END_HEADERS, stream, &frames::get("/teapot", &[("host", "a.test")]));
    assert_eq!(raw.until(HEADERS).unwrap().stream, stream);
    // h2 reads on after no field that no HTTP has.
    for (name, value) in [("X-Upper", "1"), ("x", "a\0b"), ("x", "a\r\nb: c"), ("a b", "1"), ("", "1")] {
        let mut raw = Raw::connect(port.address(), &[]);
        raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &block(&and(name, value)));
        assert_eq!(raw.until(GOAWAY).unwrap().code(), PROTOCOL_ERROR, "{name}: {value:?}");
    }
    assert_eq!(echo.answered(), 0);
}

#[tokio::test]
async fn underscores_pass_where_they_may() {
    let echo = Echo::start("echo");
    for (action, passes) in [(Underscores::Allow, true), (Underscores::DropHeader, false)] {
        let mut settings = ClientSettings::default();
        settings.headers.underscores = action;
        let (_proxy, port) = with(settings, echo.address);
        let mut client = Client::connect(port.address()).await;
        let answer = client.ask(to("/").header("x_y", "1")).await.unwrap();
        assert_eq!(answer.text().contains("x_y: 1\r\n"), passes);
    }
}

/// More of a body than its header says, or less, reaches no backend as whole.
#[test]
fn a_body_that_is_not_as_long_as_it_says_is_cut() {
    let backend = Script::start(|mut stream, _| {
        if read_head(&mut stream).is_some() {
            let mut body = Vec::new();
            let _ = stream.read_to_end(&mut body);
            assert!(body.len() < 5, "{body:?}");
        }
    });
    let (_proxy, port) = before(backend.address);
    let mut raw = Raw::connect(port.address(), &[]);
    for (stream, data) in [(1, &b"abc"[..]), (3, b"abcdefgh")] {
        let mut head = frames::get("/", &[("content-length", "5")]);
        head.splice(.., frames::get("/", &[("content-length", "5")]));
        raw.send(HEADERS, END_HEADERS, stream, &head);
        raw.send(DATA, END_STREAM, stream, data);
        assert_eq!(raw.until(RST_STREAM).unwrap().stream, stream);
    }
}

#[test]
fn a_client_that_resets_a_stream_is_not_waited_for() {
    let (said, ended) = std::sync::mpsc::channel();
    let backend = Script::start(move |mut stream, _| {
        read_head(&mut stream).unwrap();
        said.send("asked").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
        said.send("closed").unwrap();
    });
    let (_proxy, port) = before(backend.address);
    let mut raw = Raw::connect(port.address(), &[]);
    raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &frames::get("/", &[]));
    assert_eq!(ended.recv_timeout(PATIENCE), Ok("asked"));
    raw.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes());
    assert_eq!(ended.recv_timeout(PATIENCE), Ok("closed"));
    raw.send(HEADERS, END_STREAM | END_HEADERS, 3, &frames::get("/teapot", &[]));
    assert_eq!(raw.until(HEADERS).unwrap().stream, 3);
}

#[test]
fn a_response_that_breaks_off_resets_its_stream() {
    let backend = Script::always(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcX");
    let (_proxy, port) = before(backend.address);
    let mut raw = Raw::connect(port.address(), &[]);
    raw.send(HEADERS, END_STREAM | END_HEADERS, 1, &frames::get("/", &[]));
    // What was not sent yet is not sent any more.
    let ends = |frame: &Frame| frame.kind == RST_STREAM || frame.flags & END_STREAM != 0;
    let last = std::iter::from_fn(|| raw.next()).find(|frame| frame.stream == 1 && ends(frame));
    assert_eq!(last.map(|last| last.kind), Some(RST_STREAM));
}

/// hyper asks for no more of a response than the client takes, and the request must go on all the same.
#[tokio::test]
async fn a_client_may_send_all_before_it_reads_the_answer() {
    let backend = Script::start(|mut stream, _| {
        let head = read_head(&mut stream).unwrap();
        assert!(head.contains("content-length: 1000000\r\n"), "{head}");
        let mut writer = stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").unwrap();
            writer.write_all(&vec![b'x'; 1_000_000]).unwrap();
        });
        read_exactly(&mut stream, 1_000_000);
        writing.join().unwrap();
        read_head(&mut stream);
    });
    let (_proxy, port) = before(backend.address);
    let mut client = Client::connect(port.address()).await;
    let request = to("/").method("PUT").header("content-length", "1000000");
    let (response, mut sender) = client.send(request, false).await;
    sender.send_data(Bytes::from_static(b"x"), false).unwrap();
    let response = response.await.unwrap();
    let sending = send_body(sender, Bytes::from(vec![b'x'; 999_999]), None);
    tokio::time::timeout(PATIENCE, sending).await.unwrap();
    assert_eq!(Answer::of(response).await.unwrap().body.len(), 1_000_000);
}

#[test]
fn each_stream_is_logged_once_with_what_became_of_it() {
    let (sender, lines) = std::sync::mpsc::channel();
    let options = Options { workers: Some(1), access_log: Sink::Channel(sender), ..Options::default() };
    let (mut proxy, port) = (start_with(options), ReservedPort::new());
    let (asking, asked) = std::sync::mpsc::channel();
    let backend = Script::start(move |mut stream, _| {
        read_head(&mut stream);
        asking.send(()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let entries = vec![
        (prefix("/teapot"), rule("teapot", Vec::new(), Action::Respond(418))),
        (prefix("/silent"), rule("silent", Vec::new(), rules::to(backend.address))),
    ];
    let mut config = gateway(vec![bind(port.key(), ClientSettings::default(), vec![host(None, entries)])]);
    config.appliance.log_format = AccessLogFormat::Json;
    publish(&mut proxy, config);
    let next =
        || -> serde_json::Value { serde_json::from_str(&lines.recv_timeout(PATIENCE).unwrap()).unwrap() };
    let mut raw = Raw::connect(port.address(), &[]);
    let mut ask = |stream, path, fields: &[(&str, &str)]| {
        raw.send(HEADERS, END_STREAM | END_HEADERS, stream, &frames::get(path, fields));
    };
    ask(1, "/teapot", &[]);
    let line = next();
    assert!(line["status"] == 418 && line["protocol"] == "HTTP/2" && line["authority"] == "a.test", "{line}");
    assert!(line["route"] == "default/teapot" && line.get("flags").is_none(), "{line}");
    ask(3, "/teapot", &[("host", "b.test")]);
    let line = next();
    assert!(
        line["flags"] == "DPE" && line["path"] == "/teapot" && line["status"].as_u64().is_none(),
        "{line}"
    );
    ask(5, "/silent", &[]);
    asked.recv_timeout(PATIENCE).unwrap();
    raw.send(RST_STREAM, 0, 5, &CANCEL.to_be_bytes());
    let line = next();
    assert!(line["flags"] == "DC" && line["route"] == "default/silent", "{line}");
    drop(raw);
    assert!(proxy.drain(PATIENCE));
    assert!(lines.recv().is_err(), "a line too many");
}
