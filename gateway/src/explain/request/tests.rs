//! What is said of a request names the right lines of the files.

use std::fs;

use proxy::Explainer;

use super::{AskedRequest, RequestAnswer};
use crate::{desired, explain::Context};

const MANIFEST: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: ours}
spec: {controllerName: gateway.internal/appliance}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: eg, namespace: default}
spec:
  gatewayClassName: ours
  listeners:
  - {name: http, protocol: HTTP, port: 8080}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: tea, namespace: default}
spec: {endpoints: [{ip: {address: 127.0.0.1, port: 9101}}]}
---
apiVersion: gateway.internal/v1alpha1
kind: ConnectionPolicy
metadata: {name: sources, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  clientCIDRs: {deny: [192.0.2.66/32]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: tea, namespace: default}
spec:
  parentRefs: [{name: eg}]
  hostnames: [shop.test]
  rules:
  - matches:
    - {path: {type: Exact, value: /tea}, method: POST}
    - path: {value: /tea}
      headers: [{name: authorization, value: secret}]
    filters:
    - {type: URLRewrite, urlRewrite: {hostname: tea.test}}
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: secret}]}}
    retry: {codes: [503]}
    backendRefs:
    - {group: gateway.envoyproxy.io, kind: Backend, name: tea, weight: 2}
    - {name: nothing, port: 80}
  - name: rest
    matches: [{path: {value: /}}]
    filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: any, namespace: default}
spec:
  parentRefs: [{name: eg}]
  rules:
  - matches: [{path: {value: /coffee}}]
";

/// The answer, and its text with the names of files alone, without the first line.
fn answer(method: &str, url: &str, fields: &[&str], from: Option<&str>) -> (RequestAnswer, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("a.yaml"), MANIFEST).expect("a file");
    let translated = desired::check(&[directory.path().to_owned()]);
    let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
    let asked = AskedRequest::parse(method, url, &fields, from, None).expect("well-formed");
    let explanation = Explainer::explain_unserved_request(translated.config.clone(), asked.request());
    let (config, limits, origins) = (&translated.config, &translated.limits, &translated.origins);
    let context = Context { config, limits, origins, running: None };
    let answer = context.answer_request(&asked, &explanation, |question| {
        Some(Explainer::explain_unserved(translated.config.clone(), question))
    });
    let text = answer.to_string().replace(&format!("{}/", directory.path().display()), "");
    (answer, text.lines().skip(1).map(str::to_owned).collect())
}

#[test]
fn a_rule_is_told_with_its_lines_its_filters_and_where_a_request_goes() {
    let (answer, text) = answer("GET", "http://shop.test:8080/x/../tea?y", &["authorization: secret"], None);
    assert_eq!(
        text,
        [
            "is for 0.0.0.0:8080/TCP",
            "listener default/eg/http  (Gateway default/eg spec.listeners[0], a.yaml:12:5)",
            "  policy ConnectionPolicy default/sources, a.yaml:19:1",
            "asks for /tea?y of host shop.test",
            "rule default/tea/0 of shop.test (prefix /tea, header authorization (its value is not shown))  \
             (HTTPRoute default/tea spec.rules[0].matches[1], a.yaml:35:7)",
            "  before default/tea/rest of shop.test (prefix /): the longer path goes first  \
             (HTTPRoute default/tea spec.rules[1].matches[0], a.yaml:45:15)",
            "  filter rewrite: host tea.test",
            "  filter request header: sets x-a",
            "  timeouts: 15s, no limit for each attempt; 2 retries, 25ms apart at first, after failures and after 503",
            "forwarded",
            "  2 of 3 to Backend default/tea at 127.0.0.1:9101, asked for /tea?y of tea.test  \
             (HTTPRoute default/tea spec.rules[0].backendRefs[0], a.yaml:42:7)",
            "  1 of 3 to a backend that does not resolve: the route has no backend that resolves  \
             (HTTPRoute default/tea spec.rules[0].backendRefs[1], a.yaml:43:7)",
        ]
    );
    assert!(answer.answered && !text.join("\n").contains("secret"));
}

#[test]
fn where_no_rule_matches_the_closest_are_told_and_what_is_not_so() {
    let (answer, text) = answer("GET", "http://other.test:8080/coffe", &[], None);
    assert!(!answer.answered && answer.courses[0].status == Some(404), "{answer}");
    for line in [
        "  not default/any/0 (prefix /coffee): the path /coffe is not prefix /coffee  (HTTPRoute default/any \
         spec.rules[0].matches[0], a.yaml:54:15)",
        "  not default/tea/rest of shop.test (prefix /): its listener or hostname (shop.test) does not cover other.test  \
         (HTTPRoute default/tea spec.rules[1].matches[0], a.yaml:45:15)",
        "answered 404, refused: no route matches the request",
    ] {
        assert!(text.iter().any(|found| found == line), "{line}\n{answer}");
    }
    // Whose host a more specific hostname has is never tried against another.
    let (answer, _) = self::answer("GET", "http://shop.test:8080/coffee", &[], None);
    assert_eq!(answer.courses[0].status, Some(301), "{answer}");
    let (answer, _) = self::answer("TRACE", "http://shop.test:8080/coffee", &[], None);
    let near = answer.courses[0].near.iter().find(|near| near.route == "default/any").expect("it is near");
    assert_eq!(
        near.why,
        [
            "another hostname is more specific than its own (any host)",
            "TRACE is served only where a match names it"
        ]
    );
    assert_eq!(answer.courses[0].status, Some(405), "{answer}");
}

#[test]
fn what_keeps_a_request_from_a_listener_is_told() {
    for (url, fields, from, said) in [
        (
            "http://shop.test/",
            &[][..],
            None,
            "no listener is at port 80 of any address; the nearest is 0.0.0.0:8080/TCP",
        ),
        ("http://[::1]:81/", &[], None, "no listener is at [::1]:81; the nearest is [::]:8080/TCP"),
        ("https://shop.test:8080/", &[], None, "not connected: the port speaks HTTP in the clear, not TLS"),
        (
            "http://127.0.0.1:8080/../x",
            &["host: shop.test"],
            None,
            "answered 400, refused: the path climbs above",
        ),
        (
            "http://127.0.0.1:8080/coffee",
            &[],
            None,
            "answered 500, refused: the route has no backend that resolves",
        ),
        (
            "http://shop.test:8080/",
            &[],
            Some("192.0.2.66"),
            "its connection is refused: source_denied; `gateway explain",
        ),
    ] {
        let (answer, text) = answer("GET", url, fields, from);
        assert!(!answer.answered && text.iter().any(|line| line.starts_with(said)), "{said}\n{answer}");
    }
    assert!(answer("GET", "http://shop.test:8080/", &[], Some("192.0.2.67")).0.answered);
}
