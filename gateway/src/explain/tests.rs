//! What is explained, and who is said to be behind it, are held together: by every set of fields that a policy can have.

use std::{collections::BTreeSet, fs};

use proxy::Explainer;

use super::{Answer, Asked, Context, Line};
use crate::desired;

/// A part of a policy: the check that it makes, its lines, and the word in the line that sets it.
const PARTS: [(&str, &str, &str); 7] = [
    ("deny", "  clientCIDRs.deny: [192.0.2.128/25]", "deny"),
    ("allow", "  clientCIDRs.allow: [192.0.2.0/24]", "allow"),
    ("exempt", "  clientCIDRs.exempt: [192.0.2.7/32]", "exempt"),
    ("perSource", "  concurrentConnections.perSource: {limit: 3}", "perSource"),
    ("perPrefix", "  concurrentConnections.perPrefix: {limit: 30}", "perPrefix"),
    ("sourceRate", "  connectionRate.perSource: {connections: 5}", "perSource"),
    ("listenerRate", "  connectionRate.perListener: {connections: 50}", "perListener"),
];

const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1
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
kind: ClientTrafficPolicy
metadata: {name: clients, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  proxyProtocol: {optional: true}
  connection:
    connectionLimit: {value: 70}
---
apiVersion: gateway.internal/v1alpha1
kind: Appliance
metadata: {name: appliance}
spec:
  maxConnections: 700
---
apiVersion: gateway.internal/v1alpha1
kind: ConnectionPolicy
metadata: {name: sources, namespace: default}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
";

/// The manifest with those parts, each in a line of its own.
fn manifest(key: &str, parts: usize) -> String {
    let mut text = format!("{GATEWAY}  key: {key}\n");
    let mut parent = "";
    for (place, (_, line, _)) in PARTS.iter().enumerate() {
        if parts & 1 << place == 0 {
            continue;
        }
        let (outer, inner) = line.trim().split_once('.').expect("a field of a field");
        if outer != parent {
            text += &format!("  {outer}:\n");
            parent = outer;
        }
        text += &format!("    {inner}\n");
    }
    text
}

fn answer(text: &str, from: &str) -> Answer {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("a.yaml"), text).expect("a file");
    let translated = desired::check(&[directory.path().to_owned()]);
    assert!(translated.diagnostics.is_empty(), "{:?}\n{text}", translated.diagnostics);
    let asked = Asked::parse(from, "198.51.100.1:8080", None, None).expect("well-formed");
    let explanation = Explainer::explain_unserved(translated.config.clone(), &asked.0);
    let (config, limits, origins) = (&translated.config, &translated.limits, &translated.origins);
    Context { config, limits, origins, running: None }.answer(&asked, &explanation)
}

/// The line of the manifest that is said to be behind a check.
fn behind<'a>(text: &'a str, line: &Line) -> &'a str {
    let origin = &line.behind.as_ref().unwrap_or_else(|| panic!("nobody is behind {line:?}")).origin;
    let number: usize = origin.split(':').nth(1).and_then(|number| number.parse().ok()).expect("a line");
    text.lines().nth(number - 1).expect("it is in the file")
}

#[test]
fn every_check_is_made_that_a_policy_asks_for_and_the_line_behind_it_is_named() {
    for key in ["Peer", "ProxySource"] {
        for parts in 0..1 << PARTS.len() {
            let text = manifest(key, parts);
            let answer = answer(&text, "192.0.2.9");
            assert!(answer.served, "{text}\n{answer}");
            let [way] = answer.ways.as_slice() else { panic!("{answer}") };
            let has = |check: &str| {
                PARTS.iter().position(|part| part.0 == check).map(|place| parts & 1 << place != 0)
            };
            // Who is not in the list is not told of it.
            let expected: BTreeSet<&str> = PARTS
                .iter()
                .map(|part| part.0)
                .filter(|check| *check != "exempt" && has(check) == Some(true))
                .collect();
            let made = way.checks.iter().filter(|line| has(&line.check).is_some());
            assert_eq!(
                made.clone().map(|line| &*line.check).collect::<BTreeSet<_>>(),
                expected,
                "{text}\n{answer}"
            );
            for line in made {
                let (_, _, word) = PARTS.iter().find(|part| part.0 == line.check).expect("it is one of them");
                assert!(behind(&text, line).contains(word), "{line:?}\n{text}");
                assert_eq!(line.moment, if key == "Peer" { "accept" } else { "header" }, "{text}\n{answer}");
            }
            for (check, word) in [
                ("connectionLimit", "value: 70"),
                ("maxConnections", "maxConnections"),
                ("proxyHeader", "optional"),
            ] {
                let line = way.checks.iter().find(|line| line.check == check).expect(check);
                assert!(behind(&text, line).contains(word), "{line:?}");
            }
            let places: Vec<usize> = way
                .checks
                .iter()
                .filter_map(|line| PARTS.iter().position(|part| part.0 == line.check))
                .collect();
            assert!(places.is_sorted(), "the order of the page: {answer}");
        }
    }
}

#[test]
fn who_is_exempt_is_asked_for_nothing_else_of_the_policy() {
    let text = manifest("Peer", (1 << PARTS.len()) - 1);
    let answer = answer(&text, "192.0.2.7");
    let checks: Vec<&str> = answer.ways[0].checks.iter().map(|line| &*line.check).collect();
    assert_eq!(
        checks,
        ["maxConnections", "deny", "allow", "exempt", "connectionLimit", "proxyHeader"],
        "{answer}"
    );
    assert!(behind(&text, &answer.ways[0].checks[3]).contains("exempt"));
}

#[test]
fn a_refusal_says_why_by_whom_and_what_the_client_sees_in_each_tier() {
    let text = manifest("Peer", 0b11);
    let denied = answer(&text, "192.0.2.200");
    // Files have their paths as they were given.
    let (directory, _) =
        denied.ways[0].behind.as_ref().expect("a Gateway").origin.split_once("a.yaml").expect("a file");
    assert_eq!(
        denied.to_string().replace(directory, "").lines().skip(1).collect::<Vec<_>>(),
        [
            "is for 0.0.0.0:8080/TCP",
            "listener default/eg/http  (Gateway default/eg spec.listeners[0], a.yaml:12:5)",
            "  accept      passes       maxConnections: at most 700 open, over all listeners  (Appliance appliance \
             spec.maxConnections, a.yaml:27:19)",
            "  accept      refused      deny: 192.0.2.200 is in 192.0.2.128/25  (ConnectionPolicy default/sources \
             spec.clientCIDRs.deny, a.yaml:36:11)",
            "refused: source_denied",
            "  the client sees (xdp): connection refused, at once",
            "  the client sees (tc): connection refused, at once",
            "  the client sees (accept): connected, then reset",
        ]
    );
    let silent =
        answer(&(text.clone() + "  action: {type: CloseAfterDelay, closeDelay: 2s}\n"), "192.0.2.200");
    let sees: Vec<&str> = silent.ways[0].verdict.sees.iter().map(|sight| &*sight.sees).collect();
    assert_eq!(sees, ["connected, then closed without a word after 2s"], "the kernel cannot hold anybody");
    let rehearsed = answer(&(text + "  dryRun: true\n"), "192.0.2.200");
    let line = &rehearsed.ways[0].checks[1];
    assert_eq!(
        (&*line.outcome, line.reason.as_deref()),
        ("would_refuse", Some("source_denied")),
        "{rehearsed}"
    );
    assert!(rehearsed.served);
}
