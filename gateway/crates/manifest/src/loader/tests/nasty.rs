use super::*;

/// Mistakes in one object: what they are, the text, and every line that is said about it.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "unknown field, with the nearest name",
        "  hostname: [x.example]\n",
        &["7:3: spec.hostname: unknown field `hostname`, did you mean `hostnames`? [UnknownField]"],
    ),
    (
        "two at once, deep down",
        "  rules:\n  - matches:\n    - path: {type: Prefix, value: /}\n      header: []\n",
        &[
            "9:20: spec.rules[0].matches[0].path.type: found `Prefix`, expected one of `Exact`, `PathPrefix`, \
             `RegularExpression`, did you mean `PathPrefix`? [InvalidValue]",
            "10:7: spec.rules[0].matches[0].header: unknown field `header`, did you mean `headers`? [UnknownField]",
        ],
    ),
    (
        "a value nearly right",
        "  rules: [{matches: [{path: {type: PathPrefx}}]}]\n",
        &[
            "7:36: spec.rules[0].matches[0].path.type: found `PathPrefx`, expected one of `Exact`, `PathPrefix`, \
           `RegularExpression`, did you mean `PathPrefix`? [InvalidValue]",
        ],
    ),
    (
        "wrong type",
        "  rules:\n    name: x\n",
        &["8:5: spec.rules: found a mapping, expected a list [InvalidType]"],
    ),
    (
        "a number where text belongs",
        "  parentRefs: [{name: 5}]\n",
        &["7:23: spec.parentRefs[0].name: found the number 5, expected text (write it in quotes: \"5\") \
           [InvalidType]"],
    ),
    (
        "missing and out of range",
        "  parentRefs: [{port: 70000}]\n",
        &[
            "7:16: spec.parentRefs[0].name: missing field `name` [Required]",
            "7:23: spec.parentRefs[0].port: found 70000, expected 1 to 65535 [OutOfRange]",
        ],
    ),
    (
        "duplicate key, with both places",
        "  hostnames: [b.example]\n",
        &["7:3: spec.hostnames: `hostnames` stands here already at line 6, column 3 [DuplicateKey]"],
    ),
    (
        "a format that the schema knows",
        "  rules: [{timeouts: {request: 1.5s}}]\n",
        &[
            "7:32: spec.rules[0].timeouts.request: `1.5s` is not a duration; expected one like `500ms`, `10s` or \
           `1h30m` [InvalidFormat]",
        ],
    ),
    (
        "a duration without its unit",
        "  rules: [{timeouts: {request: 10}}]\n",
        &[
            "7:32: spec.rules[0].timeouts.request: found the number 10, expected text (with its unit: 10s, 10ms) \
           [InvalidType]",
        ],
    ),
    (
        "text where a small mapping belongs",
        "  rules: [{matches: [{path: /a}]}]\n",
        &["7:29: spec.rules[0].matches[0].path: found the text `/a`, expected a mapping of `type`, `value` \
           [InvalidType]"],
    ),
    (
        "no space after the colon",
        "  parentRefs:\n  - name:eg\n",
        &["8:5: spec.parentRefs[0]: found the text `name:eg`, expected a mapping (write `name: eg`) \
           [InvalidType]"],
    ),
    (
        "a name that is none",
        "  parentRefs: [{name: eg, sectionName: HTTP}]\n",
        &[
            "7:40: spec.parentRefs[0].sectionName: `HTTP` is no name; expected lower-case letters, digits, `-` and \
           `.` (RFC 1123) [InvalidFormat]",
        ],
    ),
    ("too short", "  rules: []\n", &["7:10: spec.rules: found 0 items, expected at least 1 [InvalidLength]"]),
];

/// Texts that are not YAML, where that is said, and a word that names the likely cause.
const SLOPPY: &[(&str, &str, &str)] = &[
    ("  rules: [{}", "7:10", "`[` is not closed before line 8, column 1"),
    ("  rules: [{]", "7:11", "`{` is not closed before line 7, column 12"),
    ("  rules:\n\t- name: a\n", "8:2", "this line begins with a tab"),
    ("  parentRefs:\n  - name: eg\n   port: 80\n", "9:4", "is it indented like its neighbours?"),
    ("  useDefaultGateways: \"a\n", "7:23", "this quote is not closed"),
    ("  parentRefs:\n  - *.example.com\n", "8:5", "`*` begins an alias; text that begins so needs quotes"),
    ("  useDefaultGateways: a: b\n", "7:24", "a text with `: ` in it needs quotes"),
];

#[test]
fn names_the_likely_cause_where_it_is_not_yaml() {
    for (more, place, cause) in SLOPPY {
        let lines = lines(&texts(&[("f.yaml", &route("r", more)), ("g.yaml", ROUTE)]));
        let [line] = lines.as_slice() else { panic!("{more}: {lines:?}") };
        assert!(line.starts_with(&format!("error: f.yaml:{place}: not YAML: ")), "{more}: {line}");
        assert!(line.contains(cause), "{more}: {line}");
    }
}

#[test]
fn says_what_is_wrong_and_where_and_leaves_the_others_alone() {
    for (what, more, expected) in MISTAKES {
        let bad = route("r", more);
        let set = texts(&[("f.yaml", &bad), ("g.yaml", &route("good", ""))]);
        let said: Vec<String> = lines(&set);
        let said: Vec<String> = said.iter().map(|line| line.replace("HTTPRoute default/r: ", "")).collect();
        let expected: Vec<String> = expected.iter().map(|line| format!("error: f.yaml:{line}")).collect();
        assert_eq!(said, expected, "{what}");
        assert_eq!(names(&set), ["good", "r"], "{what}");
        assert!(matches!(&set.http_routes[0].spec, SpecState::Good(_)), "{what}");
        assert!(matches!(&set.http_routes[1].spec, SpecState::Refused(_)), "{what}");
    }
}

#[test]
fn says_where_yaml_1_1_would_read_it_otherwise() {
    let policy = |more: &str| {
        let head =
            "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: ClientTrafficPolicy\nmetadata: {name: p}\n";
        lines(&texts(&[("f.yaml", &format!("{head}spec:\n  {more}\n"))])).remove(0)
    };
    let yes = policy("enableProxyProtocol: yes");
    assert!(yes.contains("(`yes` is a boolean in YAML 1.1 only, which kubectl reads: write true)"), "{yes}");
    assert!(policy("enableProxyProtocol: \"true\"").contains("(write it without quotes)"));
    let hops = policy("clientIPDetection: {xForwardedFor: {numTrustedHops: 017}}");
    assert!(hops.contains("(`017` is octal in YAML 1.1 only, which kubectl reads: write 15)"), "{hops}");
    assert!(policy("tls: {minVersion: 1.2}").contains("(write it in quotes: \"1.2\")"));
}

/// Documents that are no good objects of ours: what they are, the text, the line said.
const DOCUMENTS: &[(&str, &str, &str)] = &[
    (
        "not a mapping",
        "- a\n",
        "error: f.yaml:1:1: found a list, expected an object with apiVersion, kind and metadata [InvalidType]",
    ),
    (
        "no kind",
        "apiVersion: v1\nkid: Secret\n",
        "error: f.yaml:1:1: kind: missing field `kind`; is `kid` meant to be it? [Required]",
    ),
    (
        "no name",
        "apiVersion: v1\nkind: Secret\nmetadata: {namespace: x}\n",
        "error: f.yaml:3:11: metadata.name: missing field `name` [Required]",
    ),
    (
        "a name that is none",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: A_b}\n",
        "error: f.yaml:3:18: metadata.name: found the text `A_b`, expected a name of lower-case letters, digits, \
         `-` and `.` (RFC 1123) [InvalidName]",
    ),
    (
        "a version that never was",
        "apiVersion: gateway.networking.k8s.io/v2\nkind: GatewayClass\nmetadata: {name: x}\n\
         spec: {controllerName: a.example/b}\n",
        "error: f.yaml:1:13: GatewayClass x: apiVersion: GatewayClass has no version `v2` here, expected \
         `gateway.networking.k8s.io/v1` [UnsupportedVersion]",
    ),
    (
        "a kind in a group that is not its own",
        "apiVersion: v1\nkind: HTTPRoute\nmetadata: {name: x}\n",
        "error: f.yaml:1:13: apiVersion: HTTPRoute is not in `v1`, did you mean `gateway.networking.k8s.io/v1`? \
         [UnknownKind]",
    ),
    (
        "a kind misspelt",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HttpRout\nmetadata: {name: x}\n",
        "error: f.yaml:2:7: kind: unknown kind `HttpRout` in `gateway.networking.k8s.io/v1`, did you mean \
         `HTTPRoute`? [UnknownKind]",
    ),
    (
        "somebody else's kind",
        "apiVersion: acme.example/v1\nkind: Zzzzzz\nmetadata: {name: x}\n",
        "warning: f.yaml:2:7: kind: unknown kind `Zzzzzz` in `acme.example/v1` [UnknownKind]",
    ),
    (
        "known kinds, once",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: 1}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: y}\n",
        "note: f.yaml:2:7: kind: Deployment is known and has no effect here [UnmodelledKind]",
    ),
    (
        "a field beside spec",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: x}\nspce: {}\n",
        "error: f.yaml:4:1: HTTPRoute default/x: spce: unknown field `spce`, did you mean `spec`? [UnknownField]",
    ),
    (
        "known and not served",
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: x}\n\
         spec: {useDefaultGateways: All}\n",
        "warning: f.yaml:4:28: HTTPRoute default/x: spec.useDefaultGateways: known, but not served: default \
         Gateways are experimental in Gateway API [Unserved]",
    ),
    (
        "a network that is none",
        "apiVersion: gateway.internal/v1alpha1\nkind: Appliance\nmetadata: {name: x}\n\
         spec: {addresses: [192.0.2.0/24, 1.2.3.4/99]}\n",
        "error: f.yaml:4:34: Appliance x: spec.addresses[1]: found `1.2.3.4/99`: invalid IP address syntax \
         [InvalidValue]",
    ),
    (
        "a value that only its parser knows",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata:\n  ok: aGk=\n  bad: \"%\"\n",
        "error: f.yaml:6:8: Secret default/x: data.bad: expected base64 [InvalidValue]",
    ),
];

#[test]
fn says_what_is_no_object() {
    for (what, text, expected) in DOCUMENTS {
        let set = texts(&[("f.yaml", text), ("g.yaml", ROUTE)]);
        assert_eq!(lines(&set), [*expected], "{what}");
        assert!(names(&set).contains(&"r"), "{what}");
    }
}

#[test]
fn takes_what_kubectl_exports_without_a_word() {
    let set = texts(&[("export.yaml", include_str!("export.yaml"))]);
    assert_eq!(lines(&set), [] as [String; 0]);
    let route = &set.http_routes[0];
    assert_eq!((route.meta.generation, route.meta.created), (7, Timestamp(1_767_323_045)));
    assert_eq!((&*route.id.namespace, route.meta.uid.as_deref()), ("shop", Some("8ee2-11")));
    assert_eq!((set.services.len(), set.namespaces.len()), (1, 1));
    assert_eq!(&*set.namespaces[0].id.namespace, "");
    assert_eq!(route.field_origin("spec.hostnames[0]").to_string(), "export.yaml:17:22");
}

#[test]
fn repeats_no_secret() {
    let secret = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{pin: {value}}}\ndata: {{a: {value}}}\n"
        )
    };
    for value in ["12345", "[12345]", "\"%12345\""] {
        let mut loader = Loader::of_paths([]);
        let set = load(&mut loader, &[("f.yaml", &secret(value))]);
        assert!(errors(&set) > 0, "{value}");
        let said = format!("{}{set:?}{:?}", lines(&set).join("\n"), loader.state());
        assert!(!said.contains("12345"), "{said}");
    }
    let mut loader = Loader::of_paths([]);
    let set = load(&mut loader, &[("f.yaml", &secret("aHVudGVyMg=="))]);
    assert_eq!(set.secrets[0].spec.in_force().unwrap().value("a"), Some(b"hunter2".as_slice()));
    assert!(!format!("{set:?}{loader:?}{:?}", loader.state()).contains("aHVudGVyMg"));
}
