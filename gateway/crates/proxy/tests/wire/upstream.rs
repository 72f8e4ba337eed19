//! HTTP/1 with backends, well-behaved and not.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    time::Duration,
};

use ir::{
    Action, BackendChoice, BackendTarget, ClientSettings, Endpoint, EndpointAddress, HttpRule, RouteTimeouts,
    RuleId, Upstream, UpstreamId, UpstreamProtocol, UpstreamSettings,
};

use crate::{backend::*, configure::*, rules::*, script::*};

fn before(backend: SocketAddr) -> (proxy::Proxy, ReservedPort) {
    routed(to(backend), RouteTimeouts::default())
}

fn routed(action: Action, timeouts: RouteTimeouts) -> (proxy::Proxy, ReservedPort) {
    let mut proxy = start();
    let id = RuleId { route: "default/all".into(), index: 0, name: None };
    let rule = std::sync::Arc::new(HttpRule { id, filters: Box::default(), action, timeouts });
    let (port, _) = serve(&mut proxy, ClientSettings::default(), vec![host(None, vec![(prefix("/"), rule)])]);
    (proxy, port)
}

fn endpoints(addresses: Vec<EndpointAddress>, settings: UpstreamSettings) -> Action {
    let target = BackendTarget::Upstream(std::sync::Arc::new(Upstream {
        id: UpstreamId("upstream".into()),
        name: "Service default/upstream:80".into(),
        endpoints: addresses.into_iter().map(|address| Endpoint { address }).collect(),
        protocol: UpstreamProtocol::Http1,
        tls: None,
        settings,
    }));
    Action::Forward(vec![BackendChoice { weight: 1, filters: Box::default(), target }])
}

fn raw(address: SocketAddr, request: &str) -> (String, std::io::Result<usize>) {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer);
    (String::from_utf8(answer).unwrap(), ended)
}

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

#[test]
fn connections_are_used_again_and_replaced_when_the_backend_closes() {
    let backend = Script::start(|mut stream, number| {
        // The first connection answers twice, then closes while it waits; others go on.
        let mut left = if number == 0 { 2 } else { usize::MAX };
        while left > 0 && read_head(&mut stream).is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            left -= 1;
        }
    });
    let (_proxy, port) = before(backend.address);
    let mut stream = connect(port.address());
    for _ in 0..20 {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
        let head = read_head(&mut stream).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn a_malformed_response_is_502_and_its_connection_is_not_used_again() {
    for answer in [
        "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
    ] {
        let backend = Script::start(move |mut stream, _| {
            while read_head(&mut stream).is_some() {
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let (_proxy, port) = before(backend.address);
        for _ in 0..2 {
            assert_eq!(get(port.address(), "/").status, 502, "{answer:?}");
        }
        assert_eq!(backend.accepted(), 2, "{answer:?}");
    }
}

#[test]
fn a_backend_that_closes_without_an_answer_is_503() {
    let backend = Script::start(|mut stream, _| {
        read_head(&mut stream);
    });
    let (_proxy, port) = before(backend.address);
    assert_eq!(get(port.address(), "/").status, 503);
    assert_eq!(backend.accepted(), 1, "a first use is not repeated");
}

#[test]
fn a_truncated_body_never_ends_cleanly() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloX\r\n",
    ] {
        let backend = Script::start(move |mut stream, _| {
            read_head(&mut stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let (_proxy, port) = before(backend.address);
        let (text, ended) = raw(port.address(), GET);
        let clean = text.ends_with("\r\n0\r\n\r\n") || text.contains("content-length: 5");
        assert!(!clean, "{answer:?} gave {text:?}, {ended:?}");
    }
}

#[test]
fn a_response_until_close_is_sent_whole() {
    let backend = Script::start(|mut stream, _| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello world").unwrap();
    });
    let (_proxy, port) = before(backend.address);
    let (text, ended) = raw(port.address(), GET);
    assert!(ended.is_ok() && text.contains("transfer-encoding: chunked\r\n"), "{text}");
    assert!(text.ends_with("hello world\r\n0\r\n\r\n"), "{text}");
}

#[test]
fn surplus_bytes_retire_a_connection_and_reach_nobody() {
    let backend = Script::always(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\npoisons",
    );
    let (_proxy, port) = before(backend.address);
    for _ in 0..3 {
        assert_eq!(get(port.address(), "/").body, "ok");
    }
    assert_eq!(backend.accepted(), 3);
}

#[test]
fn interim_responses_are_read_over() {
    let backend = Script::always(
        b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    let (_proxy, port) = before(backend.address);
    let answer = get(port.address(), "/");
    assert_eq!((answer.status, answer.body.as_str(), answer.field("link")), (200, "ok", None));
}

#[test]
fn a_switch_of_protocols_that_nobody_asked_for_is_502() {
    let backend =
        Script::always(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n");
    let (_proxy, port) = before(backend.address);
    assert_eq!(get(port.address(), "/").status, 502);
}

#[test]
fn an_answer_before_the_whole_request_reaches_the_client() {
    let backend = Script::start(|mut stream, _| {
        read_head(&mut stream);
        stream
            .write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
    });
    let (_proxy, port) = before(backend.address);
    let mut stream = connect(port.address());
    stream.write_all(b"PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\nsome").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close"), "{answer}");
}

#[test]
fn a_route_that_takes_too_long_is_504() {
    let backend = Script::start(|mut stream, _| {
        read_head(&mut stream);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let short = Some(Duration::from_millis(50));
    for timeouts in [
        RouteTimeouts { request: short, backend_request: None },
        RouteTimeouts { request: None, backend_request: short },
    ] {
        let (_proxy, port) = routed(to(backend.address), timeouts);
        assert_eq!(get(port.address(), "/").status, 504);
    }
}

#[test]
fn unix_sockets_and_names_are_backends_too() {
    let directory = std::env::temp_dir().join(format!("gateway-wire-{}", std::process::id()));
    let _ = std::fs::remove_file(&directory);
    let listener = std::os::unix::net::UnixListener::bind(&directory).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while read_head(&mut stream).is_some() {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nunix").unwrap();
        }
    });
    let unix = vec![EndpointAddress::Unix(directory.clone())];
    let (_proxy, port) = routed(endpoints(unix, UpstreamSettings::default()), RouteTimeouts::default());
    assert_eq!(get(port.address(), "/").body, "unix");
    std::fs::remove_file(directory).unwrap();

    let echo = Echo::start("echo");
    let name = vec![EndpointAddress::Dns { host: "localhost".into(), port: echo.address.port() }];
    let (_proxy, port) = routed(endpoints(name, UpstreamSettings::default()), RouteTimeouts::default());
    assert_eq!(get(port.address(), "/").field("x-backend"), Some("echo"));
    let nobody = vec![EndpointAddress::Dns { host: "no-such-name.invalid".into(), port: 80 }];
    let (_proxy, port) = routed(endpoints(nobody, UpstreamSettings::default()), RouteTimeouts::default());
    assert_eq!(get(port.address(), "/").status, 503);
}

#[test]
fn circuit_breakers_refuse_what_is_over_them() {
    let backend = Script::start(|mut stream, _| {
        read_head(&mut stream);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let settings = UpstreamSettings { max_requests: 1, ..UpstreamSettings::default() };
    let action = endpoints(vec![EndpointAddress::Ip(backend.address)], settings);
    let (_proxy, port) = routed(action, RouteTimeouts::default());
    let mut held = connect(port.address());
    held.write_all(GET.as_bytes()).unwrap();
    eventually("the first request is in flight", || backend.accepted() == 1);
    let answer = get(port.address(), "/");
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(backend.accepted(), 1);
}
