//! What policies of the client's side make of a request.

use std::{collections::BTreeSet, io::Write};

use ir::{
    ClientIpDetection, ClientSettings, EscapedSlashes, ProxyProtocol, RequestId, TrustedForwarders,
    Underscores,
};

use crate::{backend::*, configure::*, rules::*};

/// A backend behind a listener with these settings.
fn forward(client: ClientSettings) -> (proxy::Proxy, Echo, ReservedPort) {
    let mut proxy = start();
    let echo = Echo::start("echo");
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), to(echo.address)))])];
    let (port, _) = serve(&mut proxy, client, hosts);
    (proxy, echo, port)
}

fn x_forwarded_for(trusted: TrustedForwarders, append: bool) -> ClientSettings {
    let client_ip = ClientIpDetection::XForwardedFor { trusted, append };
    ClientSettings { client_ip, ..ClientSettings::default() }
}

const CLAIMS: [&str; 6] = [
    "X-Forwarded-For: 192.0.2.7, 10.1.1.1",
    "X-Forwarded-Proto: https",
    "Forwarded: for=192.0.2.7",
    "X-Real-IP: 192.0.2.7",
    "X-Envoy-Retry-On: 5xx",
    "X-Forwarded-Client-Cert: By=me",
];

#[test]
fn by_default_nobody_is_believed() {
    let (_proxy, _echo, port) = forward(ClientSettings::default());
    let answer = ask(port.address(), "GET", "/", "a.test", &CLAIMS);
    assert_eq!(answer.sent("x-forwarded-for"), Some("192.0.2.7, 10.1.1.1,127.0.0.1"));
    assert_eq!(answer.sent("x-forwarded-proto"), Some("http"));
    assert_eq!(answer.sent("x-envoy-external-address"), Some("127.0.0.1"));
    for gone in ["forwarded", "x-real-ip", "x-envoy-retry-on", "x-forwarded-client-cert"] {
        assert_eq!(answer.sent(gone), None, "{gone}");
    }
    assert_eq!(get(port.address(), "/").sent("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn a_trusted_network_is() {
    let loopback = TrustedForwarders::Networks(vec!["127.0.0.0/8".parse().unwrap()]);
    let (_proxy, _echo, port) = forward(x_forwarded_for(loopback, true));
    let answer = ask(port.address(), "GET", "/", "a.test", &CLAIMS);
    assert_eq!(answer.sent("x-forwarded-for"), Some("192.0.2.7, 10.1.1.1,127.0.0.1"));
    assert_eq!(answer.sent("x-forwarded-proto"), Some("https"));
    assert_eq!(answer.sent("forwarded"), Some("for=192.0.2.7"));
    assert_eq!(answer.sent("x-real-ip"), Some("192.0.2.7"));
    assert_eq!(answer.sent("x-envoy-retry-on"), None);
}

#[test]
fn appending_can_be_turned_off() {
    let (_proxy, _echo, port) = forward(x_forwarded_for(TrustedForwarders::Hops(1), false));
    let answer = ask(port.address(), "GET", "/", "a.test", &["x-forwarded-for: 192.0.2.7"]);
    assert_eq!(answer.sent("x-forwarded-for"), Some("192.0.2.7"));
}

#[test]
fn the_source_of_a_proxy_header_is_the_peer() {
    let client = ClientSettings {
        proxy_protocol: Some(ProxyProtocol { optional: true }),
        ..ClientSettings::default()
    };
    let (_proxy, _echo, port) = forward(client);
    let mut stream = connect(port.address());
    stream.write_all(b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\r\n").unwrap();
    let answer = ask_on(stream, "GET", "/", "a.test", &[]);
    assert_eq!(answer.sent("x-forwarded-for"), Some("203.0.113.7"));
    assert_eq!(answer.sent("x-envoy-external-address"), Some("203.0.113.7"));
    assert_eq!(get(port.address(), "/").sent("x-forwarded-for"), Some("127.0.0.1"));
}

#[test]
fn names_with_underscores_are_refused_dropped_or_allowed() {
    for (action, status, sent) in [
        (Underscores::RejectRequest, 400, None),
        (Underscores::DropHeader, 200, None),
        (Underscores::Allow, 200, Some("1")),
    ] {
        let mut client = ClientSettings::default();
        client.headers.underscores = action;
        let (_proxy, _echo, port) = forward(client);
        let answer = ask(port.address(), "GET", "/", "a.test", &["x_under: 1"]);
        assert_eq!(answer.status, status, "{action:?}");
        if status == 200 {
            assert_eq!(answer.sent("x_under"), sent, "{action:?}");
        }
    }
}

#[test]
fn request_ids_are_made_anew_or_kept() {
    let ids = |mode, fields: &[&str]| -> Vec<Option<String>> {
        let mut client = ClientSettings::default();
        client.headers.request_id = mode;
        let (_proxy, _echo, port) = forward(client);
        let id =
            |_| ask(port.address(), "GET", "/", "a.test", fields).sent("x-request-id").map(str::to_owned);
        (0..5).map(id).collect()
    };
    let kept = vec![Some("mine".to_owned()); 5];
    let made = ids(RequestId::Generate, &["X-Request-Id: mine"]);
    assert_eq!(BTreeSet::from_iter(&made).len(), 5, "{made:?}");
    assert!(made.iter().flatten().all(|id| id.len() == 36), "{made:?}");
    assert_eq!(ids(RequestId::PreserveOrGenerate, &["X-Request-Id: mine"]), kept);
    assert_eq!(ids(RequestId::Preserve, &["X-Request-Id: mine"]), kept);
    assert_eq!(ids(RequestId::Disable, &[]), vec![None; 5]);
}

#[test]
fn paths_are_made_normal_before_they_are_routed() {
    let mut proxy = start();
    let (public, admin) = (Echo::start("public"), Echo::start("admin"));
    let entries = vec![
        (prefix("/admin"), rule("admin", Vec::new(), to(admin.address))),
        (prefix("/"), rule("public", Vec::new(), to(public.address))),
    ];
    let (_port, address) = serve(&mut proxy, ClientSettings::default(), vec![host(None, entries)]);
    for (target, backend, received) in [
        ("/a//b/../c", "public", "/a/c"),
        ("/x/../admin", "admin", "/admin"),
        ("/%61dmin/x?y=/../%2F", "admin", "/admin/x?y=/../%2F"),
        ("//admin", "admin", "/admin"),
        ("/./admin", "admin", "/admin"),
    ] {
        let answer = get(address, target);
        assert_eq!((answer.field("x-backend"), answer.target()), (Some(backend), received), "{target}");
    }
    let redirect = get(address, "/x%2F..%2fadmin?y=%2F");
    assert_eq!((redirect.status, redirect.field("location")), (307, Some("/admin?y=%2F")));
    assert_eq!(get(address, "/../admin").status, 400);
    assert_eq!(admin.answered(), 4);
}

#[test]
fn escaped_slashes_can_be_refused_kept_or_undone() {
    for (action, status, target) in [
        (EscapedSlashes::RejectRequest, 400, ""),
        (EscapedSlashes::KeepUnchanged, 200, "/a%2Fb"),
        (EscapedSlashes::UnescapeAndForward, 200, "/a/b"),
        (EscapedSlashes::UnescapeAndRedirect, 307, ""),
    ] {
        let mut client = ClientSettings::default();
        client.path.escaped_slashes = action;
        let (_proxy, _echo, port) = forward(client);
        let answer = get(port.address(), "/a%2Fb");
        assert_eq!(answer.status, status, "{action:?}");
        if status == 200 {
            assert_eq!(answer.target(), target, "{action:?}");
        }
    }
}
