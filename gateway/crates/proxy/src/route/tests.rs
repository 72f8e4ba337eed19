use std::sync::Arc;

use http::{HeaderValue, Method, Request, request::Parts};
use ir::{
    BackendChoice, BackendTarget, Bind, BindId, ClientSettings, HeaderMatch, Hostname, HttpMatch, HttpRule,
    Listener, ListenerId, Matcher, PathMatch, Pattern, Protocol, QueryMatch, RouteTimeouts, RuleEntry,
    RuleId, Upstream, UpstreamId, UpstreamProtocol, UpstreamSettings, VirtualHost,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{Action, Router};
use crate::{carry::Carry, metrics::Metrics, snapshot::Snapshot};

fn rule(index: usize, action: ir::Action) -> Arc<HttpRule> {
    let id = RuleId { route: "default/route".into(), index, name: None };
    Arc::new(HttpRule { id, filters: Box::default(), action, timeouts: RouteTimeouts::default() })
}

/// Each entry with a rule of its own, numbered over all hosts.
fn hosts(hosts: Vec<(Option<Hostname>, Vec<HttpMatch>)>) -> Vec<VirtualHost> {
    let mut rules = (0..).map(|index| rule(index, ir::Action::Respond(200)));
    let mut entries = |matches: Vec<HttpMatch>| {
        let entry = |matches| RuleEntry { matches, rule: rules.next().unwrap() };
        matches.into_iter().map(entry).collect()
    };
    hosts.into_iter().map(|(hostname, matches)| VirtualHost { hostname, entries: entries(matches) }).collect()
}

fn snapshot(hosts: Vec<VirtualHost>) -> Snapshot {
    let client = Arc::new(ClientSettings::default());
    let listener = Listener {
        id: ListenerId("default/eg/web".into()),
        hostname: None,
        tls: None,
        client: Arc::clone(&client),
        hosts,
        connection: None,
        policies: ir::PolicyNames::default(),
        broken: false,
    };
    let bind = Bind {
        id: BindId("default/eg:80/TCP".into()),
        sockets: Vec::new(),
        protocol: Protocol::Http,
        client,
        listeners: vec![Arc::new(listener)],
    };
    let config = ir::Gateway { binds: vec![bind], ..ir::Gateway::default() };
    Snapshot::build(Arc::new(config), &Carry::new(Metrics::new(), 1), 1)
}

fn router(snapshot: &Snapshot) -> &Router {
    &snapshot.binds[0].listeners[0].router
}

/// The number of the rule that the router finds.
fn found(router: &Router, host: &str, head: &Parts) -> Option<usize> {
    router.find(Some(host), head).map(|key| router.rule(key).config.id.index)
}

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn exact(path: &str) -> HttpMatch {
    HttpMatch { path: PathMatch::Exact(path.into()), ..HttpMatch::default() }
}

fn prefix(path: &str) -> HttpMatch {
    HttpMatch { path: PathMatch::Prefix(path.into()), ..HttpMatch::default() }
}

fn pattern(pattern: &str) -> HttpMatch {
    HttpMatch { path: PathMatch::Pattern(Pattern::new(pattern).unwrap()), ..HttpMatch::default() }
}

fn header(name: &'static str, value: Matcher) -> HeaderMatch {
    HeaderMatch { name: http::HeaderName::from_static(name), value }
}

/// Gateway API: `HTTPPathMatch`; Envoy Gateway's precedence is `ir`'s order.
#[test]
fn paths() {
    let snapshot = snapshot(hosts(vec![(
        None,
        vec![
            exact("/tea"),
            pattern("/tea/[a-z]+"),
            prefix("/tea/green"),
            prefix("/tea"),
            prefix("/c/"),
            exact("/x/"),
        ],
    )]));
    let find = |target| found(router(&snapshot), "a.test", &head("GET", target, &[]));
    for (target, rule) in [
        ("/tea", Some(0)),
        ("/tea?x=1", Some(0)),
        ("/tea/black", Some(1)),
        ("/tea/green", Some(1)),
        ("/tea/green/2", Some(2)),
        ("/tea/green/", Some(2)),
        ("/tea/", Some(3)),
        ("/tea/7", Some(3)),
        ("/teapot", None),
        ("/TEA", None),
        ("/c", Some(4)),
        ("/c/d", Some(4)),
        ("/cd", None),
        ("/x/", Some(5)),
        ("/x", None),
        ("/", None),
        ("*", None),
    ] {
        assert_eq!(find(target), rule, "{target}");
    }
}

/// Gateway API: a request is never tried against a less specific hostname.
#[test]
fn the_most_specific_host_answers_alone() {
    let name = |name: &str| name.parse().ok();
    let snapshot = snapshot(hosts(vec![
        (name("a.example.com"), vec![prefix("/a")]),
        (name("*.b.example.com"), vec![prefix("/")]),
        (name("*.example.com"), vec![prefix("/")]),
        (None, vec![prefix("/")]),
    ]));
    let find = |host, target| found(router(&snapshot), host, &head("GET", target, &[]));
    assert_eq!(find("a.example.com", "/a"), Some(0));
    assert_eq!(find("a.example.com", "/b"), None);
    assert_eq!(find("x.b.example.com", "/"), Some(1));
    assert_eq!(find("b.example.com", "/"), Some(2));
    assert_eq!(find("example.com", "/"), Some(3));
    assert!(router(&snapshot).find(None, &head("GET", "/", &[])).is_some());
}

#[test]
fn methods_headers_and_queries() {
    let condition = |name, value: &str| header(name, Matcher::Exact(value.into()));
    let query = |name: &str, value| QueryMatch { name: name.into(), value };
    let matches = vec![
        HttpMatch { method: Some(Method::POST), ..prefix("/") },
        HttpMatch { headers: vec![condition("x-a", "1"), condition("x-b", "2")], ..prefix("/") },
        HttpMatch { headers: vec![condition("x-a", "1,2")], ..prefix("/") },
        HttpMatch {
            headers: vec![header("x-c", Matcher::Pattern(Pattern::new("v[0-9]").unwrap()))],
            ..prefix("/")
        },
        HttpMatch { headers: vec![condition("host", "h2.test")], ..prefix("/") },
        HttpMatch { query: vec![query("q", Matcher::Exact("a b".into()))], ..prefix("/") },
        HttpMatch { query: vec![query("r", Matcher::Pattern(Pattern::new("").unwrap()))], ..prefix("/") },
    ];
    let snapshot = snapshot(hosts(vec![(None, matches)]));
    for (method, target, headers, rule) in [
        ("POST", "/", &[][..], Some(0)),
        ("GET", "/", &[("x-b", "2"), ("x-a", "1")], Some(1)),
        ("GET", "/", &[("x-a", "1")], None),
        ("GET", "/", &[("x-a", "1"), ("x-a", "2")], Some(2)),
        ("GET", "/", &[("x-c", "v7")], Some(3)),
        ("GET", "/", &[("x-c", "v77")], None),
        ("GET", "http://h2.test/", &[], Some(4)),
        ("GET", "/?q=a%20b", &[], Some(5)),
        ("GET", "/?q=c&q=a%20b", &[], None),
        ("GET", "/?r", &[], Some(6)),
    ] {
        assert_eq!(
            found(router(&snapshot), "a.test", &head(method, target, headers)),
            rule,
            "{method} {target}"
        );
    }
}

/// A departure from Envoy Gateway, documented: TRACE and CONNECT only where a match names them.
#[test]
fn trace_and_connect_need_naming() {
    let named = HttpMatch { method: Some(Method::TRACE), ..prefix("/t") };
    let snapshot = snapshot(hosts(vec![(None, vec![prefix("/"), named])]));
    let find = |method, target| found(router(&snapshot), "a.test", &head(method, target, &[]));
    assert_eq!(find("GET", "/t"), Some(0));
    assert_eq!(find("TRACE", "/t"), Some(1));
    assert_eq!(find("TRACE", "/"), None);
    assert_eq!(find("CONNECT", "a.test:443"), None);
}

#[test]
fn a_rule_under_several_hosts_is_one_rule() {
    let shared = rule(0, ir::Action::Respond(204));
    let host = |name: &str| VirtualHost {
        hostname: name.parse().ok(),
        entries: vec![RuleEntry { matches: prefix("/"), rule: Arc::clone(&shared) }],
    };
    let snapshot = snapshot(vec![host("a.test"), host("b.test")]);
    let router = router(&snapshot);
    let head = head("GET", "/", &[]);
    assert!(router.find(Some("a.test"), &head).is_some());
    assert_eq!(router.find(Some("a.test"), &head), router.find(Some("b.test"), &head));
}

fn backend(name: &str) -> BackendTarget {
    BackendTarget::Upstream(Arc::new(Upstream {
        id: UpstreamId(name.into()),
        name: name.into(),
        endpoints: Vec::new(),
        protocol: UpstreamProtocol::Http1,
        tls: None,
        settings: UpstreamSettings::default(),
    }))
}

/// Gateway API: `backendRefs[].weight`; an unresolved reference keeps its share, answered 500.
#[test]
fn requests_are_drawn_by_weight() {
    let choice = |weight, target| BackendChoice { weight, filters: Box::default(), target };
    let pick = |choices| {
        let forward = rule(0, ir::Action::Forward(choices));
        let entries = vec![RuleEntry { matches: prefix("/"), rule: forward }];
        let snapshot = snapshot(vec![VirtualHost { hostname: None, entries }]);
        let key = router(&snapshot).find(None, &head("GET", "/", &[])).unwrap();
        let Action::Forward(backends) = &router(&snapshot).rule(key).action else { panic!("not forwarded") };
        let mut counts = std::collections::BTreeMap::<String, u32>::new();
        for _ in 0..10_000 {
            let upstream = backends.pick().and_then(|place| backends.share(place)?.upstream.as_ref());
            let name = upstream.map_or("500".to_owned(), |upstream| upstream.config.name.to_string());
            *counts.entry(name).or_default() += 1;
        }
        counts
    };
    let counts = pick(vec![
        choice(1, backend("a")),
        choice(0, backend("never")),
        choice(8, backend("b")),
        choice(1, BackendTarget::Unresolved),
    ]);
    assert_eq!(counts.len(), 3, "{counts:?}");
    // Over ten standard deviations on each side.
    assert!((600..1_400).contains(&counts["a"]) && (600..1_400).contains(&counts["500"]), "{counts:?}");
    assert_eq!(pick(vec![choice(3, backend("only"))])["only"], 10_000);
    assert_eq!(pick(vec![choice(0, backend("none"))])["500"], 10_000);
    assert_eq!(pick(Vec::new())["500"], 10_000);
}

/// The plain scan, as the documentation of `ir` reads.
fn scan(hosts: &[VirtualHost], host: &str, head: &Parts) -> Option<usize> {
    let rank = |virtual_host: &VirtualHost| match &virtual_host.hostname {
        None => Some(0),
        Some(name) if !name.matches(host) => None,
        Some(name) if name.wildcard_suffix().is_some() => Some(name.as_str().len()),
        Some(_) => Some(usize::MAX),
    };
    // `max_by_key` gives the last of equals, and the first is wanted.
    let best = hosts.iter().rev().filter(|host| rank(host).is_some()).max_by_key(|host| rank(host))?;
    best.entries.iter().find(|entry| scan_matches(&entry.matches, head)).map(|entry| entry.rule.id.index)
}

fn scan_matches(matches: &HttpMatch, head: &Parts) -> bool {
    let path = head.uri.path();
    let path_holds = match &matches.path {
        PathMatch::Exact(exact) => path == &**exact,
        PathMatch::Prefix(prefix) => {
            path == &**prefix || **prefix == *"/" || path.starts_with(&format!("{prefix}/"))
        }
        PathMatch::Pattern(pattern) => pattern.is_match(path.as_bytes()),
    };
    let method_holds = matches.method.as_ref().is_none_or(|method| *method == head.method);
    let header_holds = |condition: &HeaderMatch| {
        let lines: Vec<&[u8]> =
            head.headers.get_all(&condition.name).iter().map(HeaderValue::as_bytes).collect();
        !lines.is_empty() && condition.value.is_match(&lines.join(&b','))
    };
    let query_holds = |condition: &QueryMatch| {
        let pairs =
            head.uri.query().unwrap_or("").split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let first = pairs.filter(|(name, _)| *name == &*condition.name).map(|(_, value)| value).next();
        first.is_some_and(|value| condition.value.is_match(value.as_bytes()))
    };
    path_holds
        && method_holds
        && matches.headers.iter().all(header_holds)
        && matches.query.iter().all(query_holds)
}

const PATHS: [&str; 10] = ["/", "/a", "/a/b", "/a/b/c", "/b", "/ab", "/a//b", "//", "/a/b/", "/c/d"];
const HOSTS: [&str; 6] = ["", "a.test", "*.test", "*.a.test", "b.a.test", "c.example"];
const VALUES: [&str; 3] = ["1", "2", "1,2"];

fn any_matcher() -> impl Strategy<Value = Matcher> {
    prop_oneof![
        3 => select(&VALUES).prop_map(|value| Matcher::Exact(value.into())),
        1 => Just(Matcher::Pattern(Pattern::new("[12]").unwrap())),
    ]
}

fn any_path() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        3 => select(&PATHS).prop_map(|path| PathMatch::Exact(path.into())),
        // `ir` has no trailing slash on a prefix.
        5 => select(&["/", "/a", "/a/b", "/a/b/c", "/b", "/a//b"]).prop_map(|path| PathMatch::Prefix(path.into())),
        1 => select(&["/a.*", "/[ab]", ".*", "/a/b"]).prop_map(|text| PathMatch::Pattern(Pattern::new(text).unwrap())),
    ]
}

fn any_match() -> impl Strategy<Value = HttpMatch> {
    let method = option::weighted(0.2, select(&[Method::GET, Method::POST]));
    let header = (select(&["x-a", "x-b"]), any_matcher()).prop_map(|(name, value)| header(name, value));
    let query = (select(&["a", "b"]), any_matcher())
        .prop_map(|(name, value)| QueryMatch { name: name.into(), value });
    let conditions = || 0..2_usize;
    (any_path(), method, vec(header, conditions()), vec(query, conditions()))
        .prop_map(|(path, method, headers, query)| HttpMatch { path, method, headers, query })
}

/// In any order, not only in that of precedence: the index must not depend on it.
fn any_hosts() -> impl Strategy<Value = Vec<VirtualHost>> {
    let host = (select(&HOSTS), vec(any_match(), 0..12));
    vec(host, 1..5)
        .prop_map(|list| hosts(list.into_iter().map(|(name, list)| (name.parse().ok(), list)).collect()))
}

fn any_request() -> impl Strategy<Value = (&'static str, Parts)> {
    let host =
        select(&["a.test", "b.test", "b.a.test", "x.y.a.test", "test", ".test", "c.example", "1.2.3.4"]);
    let headers = vec((select(&["x-a", "x-b"]), select(&VALUES)), 0..3);
    let query = vec((select(&["a", "b"]), select(&VALUES)), 0..3);
    let method = select(&["GET", "POST"]);
    (host, method, select(&PATHS), headers, query).prop_map(|(host, method, path, headers, query)| {
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (host, head(method, &format!("{path}?{}", query.join("&")), &headers))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_index_answers_as_the_scan_does(hosts in any_hosts(), requests in vec(any_request(), 20)) {
        let snapshot = snapshot(hosts.clone());
        for (host, head) in requests {
            let (answer, expected) = (found(router(&snapshot), host, &head), scan(&hosts, host, &head));
            prop_assert_eq!(answer, expected, "{} {:?}", host, head);
        }
    }

    /// Whatever a client sends: an answer, and no panic.
    #[test]
    fn any_target_is_normalised_and_routed(
        target in "/[ -~é]{0,40}",
        authority in "[ -~]{0,20}",
        hosts in any_hosts(),
    ) {
        let Ok(uri) = target.parse::<http::Uri>() else { return Ok(()) };
        let mut request = head("GET", "/", &[]);
        request.uri = uri;
        let source = crate::sources::Source {
            peer: "192.0.2.1:1".parse().unwrap(),
            local: "192.0.2.2:80".parse().unwrap(),
            proxied: None,
        };
        let facts = crate::policy::Facts { source: &source, tls: false };
        let settings = ClientSettings::default();
        if crate::policy::request_phase(&mut request, &settings, facts).is_ok() {
            let host = super::host_name(&authority);
            let snapshot = snapshot(hosts.clone());
            let answer = found(router(&snapshot), &host, &request);
            // The scan knows nothing of escapes.
            if !request.uri.query().unwrap_or_default().contains('%') {
                prop_assert_eq!(answer, scan(&hosts, &host, &request));
            }
        }
    }
}
