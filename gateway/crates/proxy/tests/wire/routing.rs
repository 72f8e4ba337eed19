//! Which backend answers, and what it and the client see of filters.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use http::{HeaderName, Method};
use ir::{
    Action, BackendChoice, BackendTarget, Bind, ClientSettings, Filter, HeaderEdit, HeaderMatch,
    HeaderModifier, HttpMatch, Listener, ListenerId, Matcher, PathMatch, Pattern, Protocol, QueryMatch,
    UrlRewrite,
};

use crate::{backend::*, configure::*, rules::*};

#[test]
fn the_first_entry_that_matches_answers() {
    let mut proxy = start();
    let (a, b, c, d) = (Echo::start("a"), Echo::start("b"), Echo::start("c"), Echo::start("d"));
    let header =
        HeaderMatch { name: HeaderName::from_static("x-version"), value: Matcher::Exact("2".into()) };
    let query = QueryMatch { name: "q".into(), value: Matcher::Exact("x y".into()) };
    let pattern =
        HttpMatch { path: PathMatch::Pattern(Pattern::new("^/tea/[A-Z0-9]+").unwrap()), ..prefix("/") };
    let entries = vec![
        (exact("/tea"), rule("exact", Vec::new(), to(a.address))),
        (pattern, rule("pattern", Vec::new(), to(b.address))),
        (HttpMatch { method: Some(Method::PUT), ..prefix("/tea") }, rule("put", Vec::new(), to(c.address))),
        (HttpMatch { headers: vec![header], ..prefix("/tea") }, rule("header", Vec::new(), to(c.address))),
        (HttpMatch { query: vec![query], ..prefix("/tea") }, rule("query", Vec::new(), to(c.address))),
        (prefix("/tea"), rule("prefix", Vec::new(), to(d.address))),
    ];
    let (_port, address) = serve(&mut proxy, ClientSettings::default(), vec![host(None, entries)]);
    for (method, target, fields, backend) in [
        ("GET", "/tea", &[][..], Some("a")),
        ("GET", "/tea?q=x%20y", &[], Some("a")),
        ("GET", "/tea/GREEN7", &[], Some("b")),
        ("PUT", "/tea/GREEN7", &[], Some("b")),
        ("PUT", "/tea/green", &[], Some("c")),
        ("GET", "/tea/green", &["x-version: 2"], Some("c")),
        ("GET", "/tea/green?q=x%20y", &[], Some("c")),
        ("GET", "/tea/green?q=x+y", &[], Some("d")),
        ("GET", "/tea/green", &["x-version: 2", "X-Version: 3"], Some("d")),
        ("GET", "/teapot", &[], None),
    ] {
        let answer = ask(address, method, target, "a.test", fields);
        assert_eq!(answer.field("x-backend"), backend, "{method} {target} {fields:?}: {answer:?}");
        assert_eq!(answer.status, if backend.is_some() { 200 } else { 404 });
    }
}

#[test]
fn the_most_specific_host_answers_alone() {
    let mut proxy = start();
    let (a, b, c) = (Echo::start("a"), Echo::start("b"), Echo::start("c"));
    let all = |name: &str, echo: &Echo| vec![(prefix("/"), rule(name, Vec::new(), to(echo.address)))];
    let hosts = vec![
        host(Some("a.test"), vec![(prefix("/only"), rule("exact", Vec::new(), to(a.address)))]),
        host(Some("*.test"), all("wildcard", &b)),
        host(None, all("any", &c)),
    ];
    let (_port, address) = serve(&mut proxy, ClientSettings::default(), hosts);
    for (name, target, backend) in [
        ("a.test", "/only", Some("a")),
        ("A.Test:8080", "/only", Some("a")),
        ("a.test", "/other", None),
        ("b.test", "/other", Some("b")),
        ("test", "/other", Some("c")),
        ("a.test.", "/only", Some("c")),
    ] {
        let answer = ask(address, "GET", target, name, &[]);
        assert_eq!(answer.field("x-backend"), backend, "{name} {target}: {answer:?}");
    }
}

#[test]
fn listeners_of_a_port_are_chosen_by_host() {
    let mut proxy = start();
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let port = ReservedPort::new();
    let client = Arc::new(ClientSettings::default());
    let listener = |name: &str, hostname: &str, echo: &Echo| {
        let hostname = hostname.parse().ok();
        let rule = rule(name, Vec::new(), to(echo.address));
        let id = ListenerId(format!("default/eg/{name}").into());
        let hosts = vec![host(None, vec![(prefix("/"), rule)])];
        Arc::new(Listener {
            id,
            hostname,
            tls: None,
            client: Arc::clone(&client),
            connection: None,
            hosts,
            broken: false,
        })
    };
    let bind = Bind {
        id: bind_id("web"),
        sockets: vec![port.key()],
        protocol: Protocol::Http,
        client: Arc::clone(&client),
        listeners: vec![listener("wild", "*.test", &b), listener("exact", "a.test", &a)],
    };
    publish(&mut proxy, gateway(vec![bind]));
    let backend = |host| {
        let answer = ask(port.address(), "GET", "/", host, &[]);
        answer.field("x-backend").map_or_else(|| answer.status.to_string(), str::to_owned)
    };
    assert_eq!(backend("a.test"), "a");
    assert_eq!(backend("b.test:80"), "b");
    assert_eq!(backend("other"), "404");
}

#[test]
fn filters_edit_both_heads() {
    let mut proxy = start();
    let echo = Echo::start("echo");
    let edit = |name: &str, value: &str| HeaderEdit { name: name.into(), value: value.into() };
    let filters = vec![
        Filter::RequestHeaderModifier(HeaderModifier {
            set: vec![edit("x-set", "ours")],
            add: vec![edit("x-added", "1")],
            remove: vec!["x-removed".into()],
        }),
        Filter::ResponseHeaderModifier(HeaderModifier {
            set: vec![edit("x-backend", "hidden")],
            add: vec![edit("x-answer", "42")],
            remove: vec!["x-never-there".into()],
        }),
    ];
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", filters, to(echo.address)))])];
    let (_port, address) = serve(&mut proxy, ClientSettings::default(), hosts);
    let answer = ask(address, "GET", "/", "a.test", &["X-Set: theirs", "X-Removed: 1", "X-Kept: 1"]);
    assert_eq!(answer.sent("x-set"), Some("ours"));
    assert_eq!(answer.sent("x-added"), Some("1"));
    assert_eq!(answer.sent("x-removed"), None);
    assert_eq!(answer.sent("x-kept"), Some("1"));
    assert_eq!(answer.field("x-backend"), Some("hidden"));
    assert_eq!(answer.field("x-answer"), Some("42"));
    assert_eq!(answer.field("keep-alive"), None, "a hop's field");
}

/// The rule's filters stand around the backend's: first on the way there, last on the way back.
#[test]
fn a_backends_filters_run_within_the_rules() {
    let mut proxy = start();
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let add = |value: &str| HeaderModifier {
        add: vec![HeaderEdit { name: "x-way".into(), value: value.into() }],
        ..HeaderModifier::default()
    };
    let both = |value: &str| {
        [Filter::RequestHeaderModifier(add(value)), Filter::ResponseHeaderModifier(add(value))].to_vec()
    };
    let share = |name: &str, echo: &Echo| {
        let rewrite =
            Filter::UrlRewrite(UrlRewrite { hostname: Some(format!("{name}.test").into()), path: None });
        let filters = [both(name), vec![rewrite]].concat().into();
        BackendChoice { filters, ..choice(1, upstream(vec![echo.address])) }
    };
    let forward = Action::Forward(vec![share("a", &a), share("b", &b)]);
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", both("rule"), forward))])];
    let (_port, address) = serve(&mut proxy, ClientSettings::default(), hosts);
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let answer = get(address, "/");
        let backend = answer.field("x-backend").unwrap().to_owned();
        assert_eq!(answer.sent_all("x-way"), ["rule", &backend]);
        assert_eq!(answer.fields("x-way"), [&*backend, "rule"]);
        assert_eq!(answer.sent("host"), Some(&*format!("{backend}.test")));
        seen.insert(backend);
        if seen.len() == 2 {
            return;
        }
    }
    panic!("one backend has all of 200 requests");
}

#[test]
fn weights_share_the_requests() {
    let mut proxy = start();
    let (a, b, never) = (Echo::start("a"), Echo::start("b"), Echo::start("never"));
    let forward = Action::Forward(vec![
        choice(1, upstream(vec![a.address])),
        choice(3, upstream(vec![b.address])),
        choice(0, upstream(vec![never.address])),
    ]);
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), forward))])];
    let (_port, address) = serve(&mut proxy, ClientSettings::default(), hosts);
    let mut counts = BTreeMap::<String, u32>::new();
    for _ in 0..400 {
        let answer = get(address, "/");
        *counts.entry(answer.field("x-backend").unwrap().to_owned()).or_default() += 1;
    }
    // 100 expected; more than eight standard deviations on each side.
    assert!((25..=175).contains(&counts["a"]), "{counts:?}");
    assert_eq!((counts.len(), never.answered()), (2, 0), "{counts:?}");
}

/// Gateway API: what is answered where there is nobody to forward to.
#[test]
fn statuses_of_our_own() {
    let mut proxy = start();
    let closed = ReservedPort::new();
    let entries = vec![
        (prefix("/none"), rule("none", Vec::new(), Action::Forward(Vec::new()))),
        (prefix("/zero"), rule("zero", Vec::new(), Action::Forward(vec![choice(0, upstream(vec![]))]))),
        (
            prefix("/unresolved"),
            rule("unresolved", Vec::new(), Action::Forward(vec![choice(1, BackendTarget::Unresolved)])),
        ),
        (prefix("/empty"), rule("empty", Vec::new(), Action::Forward(vec![choice(1, upstream(vec![]))]))),
        (prefix("/closed"), rule("closed", Vec::new(), to(closed.address()))),
        (prefix("/fixed"), rule("fixed", Vec::new(), Action::Respond(403))),
        (
            HttpMatch { method: Some(Method::TRACE), ..prefix("/trace") },
            rule("trace", Vec::new(), Action::Respond(204)),
        ),
    ];
    let (_port, address) = serve(&mut proxy, ClientSettings::default(), vec![host(Some("a.test"), entries)]);
    for (method, target, name, status) in [
        ("GET", "/none", "a.test", 500),
        ("GET", "/zero", "a.test", 500),
        ("GET", "/unresolved", "a.test", 500),
        ("GET", "/empty", "a.test", 503),
        ("GET", "/closed", "a.test", 503),
        ("GET", "/fixed", "a.test", 403),
        ("GET", "/nothing", "a.test", 404),
        ("GET", "/fixed", "b.test", 404),
        ("TRACE", "/fixed", "a.test", 405),
        ("TRACE", "/trace", "a.test", 204),
        ("CONNECT", "a.test:443", "a.test:443", 405),
    ] {
        let answer = ask(address, method, target, name, &[]);
        assert_eq!(answer.status, status, "{method} {target} at {name}: {answer:?}");
    }
}

#[test]
fn a_broken_listener_answers_500() {
    let mut proxy = start();
    let port = ReservedPort::new();
    let echo = Echo::start("echo");
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), to(echo.address)))])];
    let mut bind = bind(port.key(), ClientSettings::default(), hosts);
    let listener = Arc::make_mut(&mut bind.listeners[0]);
    listener.broken = true;
    publish(&mut proxy, gateway(vec![bind]));
    assert_eq!(get(port.address(), "/").status, 500);
    assert_eq!(echo.answered(), 0);
}

#[test]
fn the_next_endpoint_answers_where_one_cannot_be_reached() {
    let mut proxy = start();
    let (closed, echo) = (ReservedPort::new(), Echo::start("echo"));
    let forward = Action::Forward(vec![choice(1, upstream(vec![closed.address(), echo.address]))]);
    let hosts = vec![host(None, vec![(prefix("/"), rule("all", Vec::new(), forward))])];
    let (_port, address) = serve(&mut proxy, ClientSettings::default(), hosts);
    for _ in 0..6 {
        assert_eq!(get(address, "/").status, 200);
    }
    assert_eq!(echo.answered(), 6);
}
