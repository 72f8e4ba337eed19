//! What a route's filters do to requests and responses, over real sockets.

use e2e::{http::Response, wait};

use crate::cafe::{Cafe, ECHO, PORT, appliance};

/// A cafe that serves this route's rules (of HTTPRoute `filters`, indented by two), once `/ready` says so.
fn open(rules: &str) -> Option<Cafe> {
    let cafe = Cafe::open(&[("appliance.yaml", appliance("{mode: Off}"))], &[])?;
    let route = format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: filters, namespace: default}}
spec:
  parentRefs: [{{name: eg}}]
  rules:
  - matches: [{{path: {{value: /ready}}}}]
    filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-ready, value: \"1\"}}]}}}}]
    backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: echo}}]
{rules}"
    );
    cafe.place.write("filters.yaml", &route);
    wait::until("the route serves", || get(&cafe, "/ready").header("x-ready").is_some().then_some(()));
    Some(cafe)
}

fn get(cafe: &Cafe, path: &str) -> Response {
    let mut connection = cafe.connect().expect("the gateway listens");
    connection.get("cafe.example.com:1234", path).expect("an answer")
}

#[test]
fn redirects_keep_what_they_do_not_name() {
    let rules = "  - matches: [{path: {value: /secure}}]
    filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]
  - matches: [{path: {value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /new/}, statusCode: 308}}]
  - matches: [{path: {value: /away}}]
    filters: [{type: RequestRedirect, requestRedirect: {hostname: tea.example.com, port: 80, path: {type: ReplaceFullPath, replaceFullPath: /tea}}}]
";
    let Some(cafe) = open(rules) else { return };
    for (path, status, location) in [
        ("/secure/a?b=c", 301, "https://cafe.example.com/secure/a?b=c".to_owned()),
        ("/old/a?b=c", 308, format!("http://cafe.example.com:{PORT}/new/a?b=c")),
        ("/old", 308, format!("http://cafe.example.com:{PORT}/new/")),
        ("/away/a?b=c", 302, "http://tea.example.com/tea?b=c".to_owned()),
    ] {
        let answer = get(&cafe, path);
        assert_eq!((answer.status, answer.header("location")), (status, Some(&*location)), "{path}");
        assert_eq!(answer.body, "", "{path}");
    }
}

#[test]
fn a_rewrite_changes_what_the_backend_is_asked() {
    let rules = "  - matches: [{path: {value: /api}}]
    filters:
    - {type: URLRewrite, urlRewrite: {hostname: backend.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-edited, value: \"1\"}]}}
    backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: echo}]
  - matches: [{path: {value: /one}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /two}}}]
    backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: echo}]
";
    let Some(cafe) = open(rules) else { return };
    for (path, seen, host) in [
        ("/api/v1/tea?b=/api", "/v1/tea?b=/api", "backend.example.com"),
        ("/api", "/", "backend.example.com"),
        ("/api/", "/", "backend.example.com"),
        ("/one/a/b?c=d", "/two?c=d", "cafe.example.com:1234"),
    ] {
        let answer = get(&cafe, path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.body.contains(&format!("\"path\": \"{seen}\"")), "{path}: {}", answer.body);
        assert!(answer.body.contains(&format!("\"host\": \"{host}\"")), "{path}: {}", answer.body);
        assert_eq!(answer.body.contains("x-edited"), path.starts_with("/api"), "{path}: {}", answer.body);
    }
}

#[test]
fn each_backend_has_its_own_filters() {
    let backend = "group: gateway.envoyproxy.io, kind: Backend, name: echo";
    let edits = |name: &str| {
        format!(
            "{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-share, value: {name}}}]}}}}, \
             {{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: x-share, value: {name}}}]}}}}"
        )
    };
    let rules = format!(
        "  - matches: [{{path: {{value: /shared}}}}]
    backendRefs:
    - {{{backend}, filters: [{}]}}
    - {{{backend}, filters: [{}]}}
",
        edits("first"),
        edits("second")
    );
    let Some(cafe) = open(&rules) else { return };
    let mut seen = std::collections::BTreeSet::new();
    wait::until("both shares answer", || {
        let answer = get(&cafe, "/shared");
        let share = answer.header("x-share").expect("either share sets it").to_owned();
        assert!(answer.body.contains(&format!("\"x-share\": \"{share}\"")), "{share}: {}", answer.body);
        seen.insert(share);
        (seen.len() == 2).then_some(())
    });
}

#[test]
fn mirrors_are_asked_and_counted() {
    let backend = "backendRef: {group: gateway.envoyproxy.io, kind: Backend, name: copies}";
    let rules = format!(
        "  - matches: [{{path: {{value: /tea}}}}]
    filters:
    - {{type: RequestMirror, requestMirror: {{{backend}}}}}
    - {{type: RequestMirror, requestMirror: {{{backend}, percent: 100}}}}
    - {{type: RequestMirror, requestMirror: {{{backend}, fraction: {{numerator: 0, denominator: 3}}}}}}
    backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: echo}}]
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: copies, namespace: default}}
spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {ECHO}}}}}]}}
"
    );
    let Some(cafe) = open(&rules) else { return };
    assert_eq!(get(&cafe, "/tea").status, 200);
    let copied = || cafe.metric("gateway_mirrored_requests_total", &["Backend default/copies", "answered"]);
    wait::until("both copies are answered", || (copied() >= 2.0).then_some(()));
    assert_eq!(get(&cafe, "/ready").status, 200);
    assert!((copied() - 2.0).abs() < f64::EPSILON, "{}", copied());
}

#[test]
fn a_preflight_is_answered_here_and_other_requests_are_told_who_may() {
    let rules = "  - matches: [{path: {value: /shared}}]
    filters: [{type: CORS, cors: {allowOrigins: [\"https://*.example.com\"], allowCredentials: true, allowMethods: [GET, PUT], maxAge: 60}}]
    backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: echo}]
  - matches: [{path: {value: /absent}}]
    filters: [{type: CORS, cors: {allowOrigins: [\"*\"]}}]
    backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: absent}]
";
    let Some(cafe) = open(rules) else { return };
    let ask = |method: &str, path: &str, origin: &str, more: &str| {
        let mut connection = cafe.connect().expect("the gateway listens");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\norigin: {origin}\r\n{more}content-length: 0\r\n\r\n"
        );
        connection.send(request.as_bytes()).expect("it reads");
        connection.response().expect("an answer")
    };
    let asks = "access-control-request-method: PUT\r\n";
    let field = |response: &Response, name: &str| response.header(name).map(str::to_owned);
    let (page, other) = ("https://shop.example.com", "https://example.org");
    let preflight = ask("OPTIONS", "/shared", page, asks);
    assert_eq!((preflight.status, &*preflight.body), (200, ""));
    assert_eq!(field(&preflight, "access-control-allow-origin").as_deref(), Some(page));
    assert_eq!(field(&preflight, "access-control-allow-methods").as_deref(), Some("GET, PUT"));
    assert_eq!(field(&preflight, "access-control-max-age").as_deref(), Some("60"));
    let actual = ask("PUT", "/shared", page, "");
    assert!(actual.body.contains("\"method\": \"PUT\""), "{}", actual.body);
    assert_eq!(field(&actual, "access-control-allow-credentials").as_deref(), Some("true"));
    assert_eq!(field(&actual, "access-control-allow-origin").as_deref(), Some(page));
    for refused in [ask("OPTIONS", "/shared", other, asks), ask("GET", "/shared", other, "")] {
        assert_eq!((refused.status, field(&refused, "access-control-allow-origin")), (200, None));
    }
    let failed = ask("GET", "/absent", page, "");
    assert_eq!((failed.status, field(&failed, "access-control-allow-origin").as_deref()), (500, Some(page)));
}
