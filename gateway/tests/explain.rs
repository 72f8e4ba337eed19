use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::AsRawFd,
    process::Output,
};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
use serde_json::Value;

use crate::harness::{
    DEADLINE, Gateway, Place, free_port, gateway, gateway_manifest, route_manifest, stderr, stdout, until,
};

const POLICIES: &str = "---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: {name: clients}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  connection: {connectionLimit: {value: 3}}
---
apiVersion: gateway.internal/v1alpha1
kind: ConnectionPolicy
metadata: {name: sources}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  clientCIDRs: {deny: [127.0.0.66/32], exempt: [127.0.0.7/32]}
  concurrentConnections:
    perSource: {limit: 1}
";

fn explain(place: &Place, arguments: &[&str]) -> Output {
    let runtime = place.path("run");
    let mut all = vec!["explain", "connection", "--runtime-dir", runtime.to_str().expect("plain")];
    all.extend(arguments);
    gateway(&all)
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", stdout(output), stderr(output)))
}

/// Connects from an address and asks: the connection if it is served.
fn ask(from: [u8; 4], port: u16) -> Option<TcpStream> {
    ask_after(from, port, "")
}

/// Likewise, with a header before.
fn ask_after(from: [u8; 4], port: u16, header: &str) -> Option<TcpStream> {
    let socket =
        socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    let end = |address: Ipv4Addr, port| SockaddrStorage::from(SocketAddr::from((address, port)));
    bind(socket.as_raw_fd(), &end(from.into(), 0)).expect("an address of the loopback");
    connect(socket.as_raw_fd(), &end(Ipv4Addr::LOCALHOST, port)).ok()?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let sent = format!("{header}GET / HTTP/1.1\r\nhost: a.test\r\n\r\n");
    stream.write_all(sent.as_bytes()).ok()?;
    stream.read_exact(&mut [0; 12]).ok()?;
    Some(stream)
}

#[test]
fn a_running_gateway_says_what_it_would_do_at_this_moment() {
    let place = Place::new();
    let port = free_port();
    place.write("a.yaml", &(gateway_manifest(port) + POLICIES));
    let to = format!("127.0.0.1:{port}");
    let output = explain(&place, &["127.0.0.1", &to]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no gateway runs"), "{}", stderr(&output));
    let gateway = Gateway::start(&place);
    let said = |from: [u8; 4]| {
        let output = explain(&place, &[&Ipv4Addr::from(from).to_string(), &to, "--output", "json"]);
        let answer = json(&output);
        assert_eq!(output.status.code(), Some(i32::from(answer["served"] == false)), "{answer}");
        answer["ways"][0]["verdict"]["reason"].as_str().map(str::to_owned)
    };
    let mut held = Vec::new();
    // What is said is what happens, each time; nothing is taken by asking.
    for (from, reason) in [
        ([127, 0, 0, 2], None),
        ([127, 0, 0, 2], Some("over_source_limit")),
        ([127, 0, 0, 66], Some("source_denied")),
        ([127, 0, 0, 7], None),
        ([127, 0, 0, 7], None),
        ([127, 0, 0, 7], Some("over_connection_limit")),
        ([127, 0, 0, 3], Some("over_connection_limit")),
    ] {
        assert_eq!(said(from).as_deref(), reason, "{from:?}");
        assert_eq!(said(from).as_deref(), reason, "{from:?} again");
        let stream = ask(from, port);
        assert_eq!(stream.is_some(), reason.is_none(), "{from:?}\n{}", gateway.log());
        held.extend(stream);
    }
    let text = stdout(&explain(&place, &["127.0.0.2", &to]));
    for part in [
        "generation 1 in force\n",
        &format!("is for {to}/TCP\n"),
        "comes in by lo (accept), where user space enforces\n",
        "listener default/eg/http  (Gateway default/eg spec.listeners[0], a.yaml:13:5)\n",
        "refused      perSource: 1 of 1 open from 127.0.0.2  (ConnectionPolicy default/sources \
         spec.concurrentConnections.perSource.limit, a.yaml:29:",
        "refused: over_source_limit\n  the client sees (accept): connected, then reset\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    held.clear();
    until("every slot is free", || said([127, 0, 0, 2]).is_none().then_some(()));
}

#[test]
fn the_source_of_a_header_is_judged_when_it_is_read() {
    let place = Place::new();
    let port = free_port();
    let policies = "---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: {name: clients}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  proxyProtocol: {optional: false}
---
apiVersion: gateway.internal/v1alpha1
kind: ConnectionPolicy
metadata: {name: sources}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  key: ProxySource
  proxyProtocol: {trustedSenders: [127.0.0.8/32]}
  clientCIDRs: {deny: [203.0.113.66/32]}
  concurrentConnections:
    perSource: {limit: 1}
";
    place.write("a.yaml", &(gateway_manifest(port) + policies));
    let _gateway = Gateway::start(&place);
    let to = format!("127.0.0.1:{port}");
    let mut held = Vec::new();
    for (from, source, reason) in [
        ([127, 0, 0, 8], Some("203.0.113.1"), None),
        ([127, 0, 0, 8], Some("203.0.113.1"), Some("over_source_limit")),
        ([127, 0, 0, 8], Some("203.0.113.66"), Some("source_denied")),
        ([127, 0, 0, 8], None, Some("proxy_missing")),
        ([127, 0, 0, 9], Some("203.0.113.2"), Some("proxy_untrusted")),
        ([127, 0, 0, 8], Some("203.0.113.2"), None),
    ] {
        let peer = Ipv4Addr::from(from).to_string();
        let mut arguments = vec![&*peer, &to, "--output", "json"];
        arguments.extend(source.iter().flat_map(|source| ["--proxy-source", source]));
        let answer = json(&explain(&place, &arguments));
        let way = &answer["ways"][0];
        assert_eq!(way["verdict"]["reason"].as_str(), reason, "{answer:#}");
        let last = way["checks"].as_array().and_then(|checks| checks.last()).expect("a check");
        assert_eq!(last["moment"], "header", "{answer:#}");
        let header =
            source.map_or_else(String::new, |source| format!("PROXY TCP4 {source} 127.0.0.1 1 2\r\n"));
        let stream = ask_after(from, port, &header);
        assert_eq!(stream.is_some(), reason.is_none(), "{answer:#}");
        held.extend(stream);
    }
    drop(held);
}

#[test]
fn files_are_explained_that_nobody_serves() {
    let place = Place::new();
    place.write("a.yaml", &(gateway_manifest(8080) + POLICIES));
    let directory = place.config("");
    let explain = |from: &str, to: &str, more: &[&str]| {
        let mut all =
            vec!["explain", "connection", from, to, "--config-dir", directory.to_str().expect("plain")];
        all.extend(more);
        gateway(&all)
    };
    let output = explain("127.0.0.66", "127.0.0.1:8080", &["--output", "json"]);
    let answer = json(&output);
    assert_eq!(output.status.code(), Some(1), "{answer}");
    assert_eq!(answer["generation"], Value::Null, "{answer}");
    let last = answer["ways"][0]["checks"].as_array().and_then(|checks| checks.last()).expect("a check");
    assert_eq!((&last["check"], &last["outcome"]), (&"deny".into(), &"refused".into()), "{answer}");
    assert_eq!(last["behind"]["object"], "ConnectionPolicy default/sources", "{answer}");
    assert_eq!(explain("127.0.0.1", "127.0.0.1:8080", &[]).status.code(), Some(0));
    let nobody = explain("127.0.0.1", "127.0.0.1:8081", &[]);
    assert_eq!(nobody.status.code(), Some(1));
    let text = stdout(&nobody);
    assert!(
        text.contains(
            "no listener is at 127.0.0.1:8081; the nearest is 127.0.0.1:8080/TCP of default/eg:8080/TCP"
        ),
        "{text}"
    );
    for (from, to, said) in [
        ("127.0.0.x", "127.0.0.1:8080", "FROM: found `127.0.0.x`, expected an address"),
        ("127.0.0.1", "127.0.0.1", "TO: found `127.0.0.1`, expected an address and a port"),
    ] {
        let output = explain(from, to, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(said), "{}", stderr(&output));
    }
}

#[test]
fn the_admin_page_says_what_it_cannot_read() {
    let place = Place::new();
    let gateway = Gateway::start(&place);
    let (status, message) = gateway.get("/explain?from=127.0.0.1");
    assert_eq!(
        (status, message.as_str()),
        (400, "TO: found ``, expected an address and a port: 192.0.2.1:443, [2001:db8::1]:443\n")
    );
    let (status, page) = gateway.get("/explain?from=127.0.0.1&to=127.0.0.1:1");
    assert_eq!(status, 200);
    assert!(page.contains("there is none at all"), "{page}");
}

#[test]
fn a_running_gateway_says_which_rule_a_request_has() {
    let place = Place::new();
    let port = free_port();
    place.write("a.yaml", &(gateway_manifest(port) + "---\n" + &route_manifest("tea", "/tea", 9)));
    let runtime = place.path("run");
    let url = format!("http://shop.test:{port}/tea/green?x=1&y=%20");
    let explain = |more: &[&str]| {
        let mut all = vec!["explain", "request", "GET"];
        all.extend(["-H", "x-odd: a&b=c", "--from", "192.0.2.1"]);
        all.extend(more);
        gateway(&all)
    };
    let running = ["--runtime-dir", runtime.to_str().expect("plain")];
    let output = explain(&[&[&*url], &running[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no gateway runs"), "{}", stderr(&output));

    let gateway = Gateway::start(&place);
    let answer = json(&explain(&[&[&*url, "--output", "json"], &running[..]].concat()));
    assert_eq!((&answer["answered"], &answer["generation"]), (&true.into(), &1.into()), "{answer:#}");
    let course = &answer["courses"][0];
    assert_eq!(course["target"], "/tea/green?x=1&y=%20", "{answer:#}");
    assert_eq!(course["matched"]["behind"]["field"], "spec.rules[0].matches[0]", "{answer:#}");
    assert_eq!(course["backends"][0]["backend"], "Backend default/tea", "{answer:#}");
    let directory = place.config("");
    let files = ["--config-dir", directory.to_str().expect("plain"), "--output", "yaml"];
    let output = explain(&[&[&*url], &files[..]].concat());
    assert!(stdout(&output).contains("rule: '0'\n"), "{}", stdout(&output));

    let nowhere = format!("http://shop.test:{port}/coffee");
    let output = explain(&[&[&*nowhere], &running[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("answered 404, refused: no route matches the request\n"), "{text}");
    assert!(
        text.contains("  not default/tea/0 (prefix /tea): the path /coffee is not prefix /tea  ("),
        "{text}"
    );
    assert_eq!(explain(&[&["shop.test/"], &running[..]].concat()).status.code(), Some(2));
    let (status, message) = gateway.get("/explain/request?url=%zz");
    assert_eq!((status, &*message), (400, "url: found `%zz`, expected a value that is percent-encoded\n"));
}
