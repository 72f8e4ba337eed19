//! Copies of requests: what arrives where, and that nobody waits for them.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use ir::{Action, BackendTarget, ClientSettings, Filter, Mirror, PathRewrite, UrlRewrite};
use proxy::Proxy;

use crate::{backend::*, configure::*, rules::*};

fn mirror(address: SocketAddr, numerator: u32, denominator: u32) -> Filter {
    let BackendTarget::Upstream(upstream) = upstream(vec![address]) else { unreachable!("it is one") };
    Filter::RequestMirror(Mirror { upstream, numerator, denominator })
}

fn serve_all(proxy: &mut Proxy, filters: Vec<Filter>, action: Action) -> (ReservedPort, SocketAddr) {
    serve(
        proxy,
        ClientSettings::default(),
        vec![host(None, vec![(prefix("/"), rule("all", filters, action))])],
    )
}

/// A backend that keeps whole requests and answers nothing, ever.
struct Silent {
    address: SocketAddr,
    received: Arc<Mutex<Vec<String>>>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, received) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let keep = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let keep = Arc::clone(&keep);
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream.unwrap());
                    let mut text = String::new();
                    while !text.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut text).unwrap() == 0 {
                            return;
                        }
                    }
                    let length =
                        text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                    let mut body = vec![0; length.unwrap_or(0)];
                    if reader.read_exact(&mut body).is_ok() {
                        keep.lock().unwrap().push(text + std::str::from_utf8(&body).unwrap());
                    }
                    // Holds the connection open until the other side has had enough.
                    let _ = reader.read(&mut [0]);
                });
            }
        });
        Self { address, received }
    }

    fn received(&self) -> Vec<String> {
        self.received.lock().unwrap().clone()
    }
}

#[test]
fn every_mirror_gets_what_the_filters_have_made_and_the_client_waits_for_none() {
    let mut proxy = start();
    let (echo, one, two) = (Echo::start("echo"), Silent::start(), Silent::start());
    let refused = ReservedPort::new();
    let path = Some(PathRewrite::Prefix { matched: "/".into(), replacement: "/v2".into() });
    let rewrite = Filter::UrlRewrite(UrlRewrite { hostname: Some("b.test".into()), path });
    let filters = vec![
        mirror(one.address, 1, 1),
        rewrite,
        mirror(two.address, 100, 100),
        mirror(refused.address(), 1, 1),
    ];
    let (_port, address) = serve_all(&mut proxy, filters, to(echo.address));
    let answer = ask_with_body(address, "POST", "/tea?x=y", &["x-a: 1"], "green");
    assert_eq!((answer.field("x-backend"), answer.target()), (Some("echo"), "/v2/tea?x=y"));
    for silent in [&one, &two] {
        eventually("a copy arrives", || silent.received().len() == 1);
        let copy = silent.received().remove(0);
        assert!(copy.starts_with("POST /v2/tea?x=y HTTP/1.1\r\n"), "{copy}");
        assert!(copy.contains("host: b.test\r\n") && copy.contains("x-a: 1\r\n"), "{copy}");
        assert!(copy.ends_with("\r\n\r\ngreen"), "{copy}");
    }
    eventually("what failed is counted", || mirrored(&proxy, "failed") == 1);
}

/// A mirror that reads nothing of a body that is larger than what may wait for it, and of what sockets hold.
#[test]
fn a_mirror_that_falls_behind_is_cut_off_and_the_request_goes_on() {
    let mut proxy = start();
    let echo = Echo::start("echo");
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_port, address) =
        serve_all(&mut proxy, vec![mirror(deaf.local_addr().unwrap(), 1, 1)], to(echo.address));
    let answer = ask_with_body(address, "POST", "/", &[], &"x".repeat(32 << 20));
    assert_eq!(answer.field("x-backend"), Some("echo"));
    eventually("the copy is given up", || mirrored(&proxy, "failed") == 1);
}

#[test]
fn a_share_of_the_requests_is_copied() {
    let mut proxy = start();
    let (echo, copies) = (Echo::start("echo"), Echo::start("copies"));
    let (none, third) = (mirror(copies.address, 0, 100), mirror(copies.address, 1, 3));
    let (_port, address) = serve_all(&mut proxy, vec![none, third], to(echo.address));
    for _ in 0..600 {
        assert_eq!(get(address, "/").field("x-backend"), Some("echo"));
    }
    // Seven standard deviations: chance does not reach it. Those on their way are few.
    eventually("a third is copied", || (120..=280).contains(&mirrored(&proxy, "answered")));
    eventually("all that was copied is answered", || mirrored(&proxy, "answered") == copies.answered());
}

/// Copies with this result, over all mirrors.
fn mirrored(proxy: &Proxy, result: &str) -> u64 {
    let families = proxy.metrics().gather();
    let family = families.iter().find(|family| family.name() == "gateway_mirrored_requests_total");
    let series = family.into_iter().flat_map(|family| family.get_metric());
    let of_result = series.filter(|series| series.get_label().iter().any(|label| label.value() == result));
    of_result.map(|series| series.get_counter().get_value() as u64).sum()
}

fn ask_with_body(address: SocketAddr, method: &str, target: &str, fields: &[&str], body: &str) -> Answer {
    let mut stream = connect(address);
    let length = format!("content-length: {}", body.len());
    let fields = [fields, &[&*length]].concat();
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n");
    for field in fields {
        head.push_str(field);
        head.push_str("\r\n");
    }
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(b"\r\n").unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    read_answer(stream)
}
