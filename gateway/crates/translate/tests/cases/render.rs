//! A translation as text that people read: what has its default is left out, a condition, a match and a rule are
//! one line each.

use std::collections::BTreeSet;

use ir::{
    Action, BackendChoice, BackendTarget, Bind, Listener, Matcher, PathMatch, PolicyNames, RuleEntry,
    VirtualHost,
};
use serde_json::{Map, Value, json};
use translate::{EffectiveLimit, GatewayService, Translation};

/// The IR, the status of every object, and the diagnostics, as YAML.
pub fn rendered(translation: &Translation) -> String {
    let Translation { gateway, statuses, limits, origins: _, services, diagnostics } = translation;
    let mut out = Map::new();
    if let Some(appliance) = without_defaults(&json!(gateway.appliance), &json!(ir::Appliance::default())) {
        out.insert("appliance".to_owned(), appliance);
    }
    out.insert("binds".to_owned(), gateway.binds.iter().map(bind).collect());
    let statuses: Map<String, Value> =
        statuses.iter().map(|status| (status.id.to_string(), readable(&status.status))).collect();
    out.insert("statuses".to_owned(), Value::Object(statuses));
    if !limits.is_empty() {
        out.insert("limits".to_owned(), limits.iter().map(limit).collect());
    }
    // Without labels or annotations of their own they say what the binds have said.
    let services: Vec<Value> = services.iter().filter_map(service).collect();
    if !services.is_empty() {
        out.insert("services".to_owned(), services.into());
    }
    out.insert("diagnostics".to_owned(), diagnostics.iter().map(|one| json!(one.to_string())).collect());
    serde_yaml::to_string(&Value::Object(out)).expect("plain data")
}

fn service(service: &GatewayService) -> Option<Value> {
    let GatewayService { namespace, gateway, class, labels, annotations, addresses, ports } = service;
    let shown = |(key, value): (&String, &String)| format!("{key}: {value}");
    let own = |(key, _): &(&String, &String)| !key.starts_with("gateway.networking.k8s.io/");
    let metadata: Vec<String> = labels.iter().filter(own).chain(annotations).map(shown).collect();
    let ports: Vec<u16> = ports.iter().map(|(port, _)| *port).collect();
    let text =
        format!("{namespace}/{gateway}-{class} at {addresses:?}, ports {ports:?}, {}", metadata.join(", "));
    (!metadata.is_empty()).then(|| json!(text))
}

fn limit(limit: &EffectiveLimit) -> Value {
    let EffectiveLimit { listener, field, value, policy, origin } = limit;
    json!(format!("{listener}: {field} = {value} ({policy}, {origin})"))
}

fn bind(bind: &Bind) -> Value {
    let Bind { id, sockets, protocol, client, listeners } = bind;
    let sockets: Vec<String> = sockets.iter().map(ToString::to_string).collect();
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(id));
    out.insert("sockets".to_owned(), json!(sockets));
    out.insert("protocol".to_owned(), json!(protocol));
    if let Some(client) = without_defaults(&json!(client), &json!(ir::ClientSettings::default())) {
        out.insert("client".to_owned(), client);
    }
    out.insert("listeners".to_owned(), listeners.iter().map(|one| listener(one, client)).collect());
    Value::Object(out)
}

fn listener(listener: &Listener, shared: &ir::ClientSettings) -> Value {
    let Listener { id, hostname, tls, client, connection, policies, hosts, broken } = listener;
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(id));
    if let Some(hostname) = hostname {
        out.insert("hostname".to_owned(), json!(hostname));
    }
    if let Some(tls) = tls {
        let mut tls = json!(tls);
        if tls["ciphers"] == json!(ir::CipherSuites::default()) {
            tls["ciphers"] = json!("defaults");
        }
        if let Some(validation) = &listener.tls.as_ref().expect("it is there").client_validation {
            tls["client_validation"] =
                json!(format!("{:?} by {}", validation.mode, validation.authorities.sources().join(", ")));
        } else {
            tls.as_object_mut().expect("a mapping").remove("client_validation");
        }
        for certificate in tls["certificates"].as_array_mut().expect("a list") {
            *certificate = certificate["source"].clone();
        }
        out.insert("tls".to_owned(), tls);
    }
    if **client != *shared {
        let own = without_defaults(&json!(client), &json!(ir::ClientSettings::default()));
        out.insert("client".to_owned(), own.unwrap_or_else(|| json!("defaults")));
    }
    if let Some(connection) = connection {
        let set = without_defaults(&json!(connection), &json!(ir::ConnectionRules::default()));
        out.insert("connection".to_owned(), set.unwrap_or_else(|| json!("defaults")));
    }
    let PolicyNames { client, connection } = policies;
    let names: Vec<&str> = [client, connection].into_iter().flatten().map(|name| &*name.0).collect();
    if !names.is_empty() {
        out.insert("policies".to_owned(), json!(names.join(", ")));
    }
    if *broken {
        out.insert("broken".to_owned(), json!(true));
    }
    out.insert("hosts".to_owned(), hosts.iter().map(host).collect());
    Value::Object(out)
}

fn host(host: &VirtualHost) -> Value {
    let VirtualHost { hostname, entries } = host;
    json!({
        "hostname": hostname.as_ref().map_or("any", ir::Hostname::as_str),
        "entries": entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn entry(entry: &RuleEntry) -> Value {
    let RuleEntry { matches, rule } = entry;
    let ir::HttpRule { id, filters, action, timeouts } = &**rule;
    let action = match action {
        Action::Respond(status) => json!(format!("respond {status}")),
        Action::Forward(choices) if choices.is_empty() => json!("forward to none"),
        Action::Forward(choices) => choices.iter().map(choice).collect(),
    };
    let mut out = Map::new();
    out.insert("match".to_owned(), json!(one_line(matches)));
    out.insert("rule".to_owned(), json!(id.to_string()));
    if !filters.is_empty() {
        out.insert("filters".to_owned(), filters.iter().map(filter).collect());
    }
    out.insert("action".to_owned(), action);
    let default =
        ir::RouteTimeouts { request: Some(std::time::Duration::from_secs(15)), backend_request: None };
    if *timeouts != default {
        out.insert("timeouts".to_owned(), json!(format!("{timeouts:?}")));
    }
    Value::Object(out)
}

fn filter(filter: &ir::Filter) -> Value {
    match filter {
        ir::Filter::RequestMirror(ir::Mirror { upstream, numerator, denominator }) => {
            json!({ "RequestMirror": format!("{numerator}/{denominator} to {}", destination(upstream)) })
        }
        plain => json!(plain),
    }
}

fn one_line(matches: &ir::HttpMatch) -> String {
    let ir::HttpMatch { path, method, headers, query } = matches;
    let mut out = match path {
        PathMatch::Exact(path) => format!("exact {path}"),
        PathMatch::Prefix(path) => format!("prefix {path}"),
        PathMatch::Pattern(pattern) => format!("pattern {}", pattern.as_str()),
    };
    out.extend(method.iter().map(|method| format!(" {method}")));
    out.extend(headers.iter().map(|header| format!(", header {} {}", header.name, matcher(&header.value))));
    out.extend(query.iter().map(|query| format!(", query {} {}", query.name, matcher(&query.value))));
    out
}

fn matcher(matcher: &Matcher) -> String {
    match matcher {
        Matcher::Exact(text) => format!("= {text}"),
        Matcher::Pattern(pattern) => format!("~ {}", pattern.as_str()),
    }
}

fn choice(choice: &BackendChoice) -> Value {
    let BackendChoice { weight, filters, target } = choice;
    let share = match target {
        BackendTarget::Unresolved => json!(format!("{weight} x unresolved")),
        BackendTarget::Upstream(upstream) => json!(format!("{weight} x {}", destination(upstream))),
    };
    if filters.is_empty() {
        share
    } else {
        json!({ "share": share, "filters": filters.iter().map(filter).collect::<Vec<_>>() })
    }
}

fn destination(upstream: &ir::Upstream) -> String {
    let ir::Upstream { id, name: _, endpoints, protocol: _, tls, settings } = upstream;
    assert_eq!(*settings, ir::UpstreamSettings::default());
    let endpoints: Vec<String> = endpoints.iter().map(|one| one.address.to_string()).collect();
    // Certificates are made for each run, so fingerprints tell nothing.
    let is_fingerprint = |word: &str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id: Vec<String> =
        id.to_string().split(' ').filter(|word| !is_fingerprint(word)).map(str::to_owned).collect();
    let tls = tls.as_ref().map(|tls| in_tls(tls)).unwrap_or_default();
    format!("{}{tls} at [{}]", id.join(" "), endpoints.join(", "))
}

fn in_tls(tls: &ir::UpstreamTls) -> String {
    let ir::UpstreamTls { server_name, authorities, names, client_certificate } = tls;
    let mut out = format!(" {{{server_name} by {}", authorities.sources().join(", "));
    if !names.is_empty() {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        out += &format!(", named {}", names.join(" or "));
    }
    out.extend(client_certificate.iter().map(|own| format!(", showing {}", own.source())));
    out + "}"
}

fn readable(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(readable).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), field(key, value))).collect(),
        plain => plain.clone(),
    }
}

fn field(key: &str, value: &Value) -> Value {
    let list = || value.as_array().expect("a list");
    match key {
        "conditions" => list().iter().map(condition).collect(),
        "supportedFeatures" => {
            let names: Vec<&str> = list().iter().filter_map(|feature| feature["name"].as_str()).collect();
            assert!(!names.is_empty() && names.is_sorted_by(|one, next| one < next), "{names:?}");
            json!("sorted")
        }
        "supportedKinds" => list().iter().map(|kind| kind["kind"].clone()).collect(),
        "addresses" => list().iter().map(|address| address["value"].clone()).collect(),
        "parentRef" | "ancestorRef" => json!(reference(value)),
        _ => readable(value),
    }
}

/// `Gateway default/eg, sectionName http`. Asserts on the way that group and kind are there.
fn reference(reference: &Value) -> String {
    assert_eq!(reference["group"], "gateway.networking.k8s.io");
    let text = |key: &str| reference[key].as_str().expect("text");
    let mut out = format!("{} {}/{}", text("kind"), text("namespace"), text("name"));
    out.extend(reference["sectionName"].as_str().map(|section| format!(", sectionName {section}")));
    out.extend(reference["port"].as_u64().map(|port| format!(", port {port}")));
    out
}

/// What differs from the default.
fn without_defaults(value: &Value, default: &Value) -> Option<Value> {
    match (value, default) {
        (value, default) if value == default => None,
        (Value::Object(fields), Value::Object(defaults)) if fields.keys().eq(defaults.keys()) => Some(
            fields
                .iter()
                .filter_map(|(key, value)| Some((key.clone(), without_defaults(value, &defaults[key])?)))
                .collect(),
        ),
        (value, _) => Some(value.clone()),
    }
}

/// `Accepted=True (Accepted, generation 1): message`. Asserts the API's shape on the way.
fn condition(condition: &Value) -> Value {
    let fields = condition.as_object().expect("a condition is a mapping");
    let keys: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["type", "status", "reason", "message", "observedGeneration"]));
    let text = |key: &str| fields[key].as_str().expect("text");
    let message = text("message");
    let opening = message.starts_with("spec.") || !message.starts_with(char::is_lowercase);
    assert!(
        message.ends_with(['.', '?']) && opening,
        "a sentence, or a field and what is wrong with it: {message}"
    );
    let generation = match &fields["observedGeneration"] {
        first if *first == json!(1) => String::new(),
        later => format!(", generation {later}"),
    };
    json!(format!("{}={} ({}{generation}): {message}", text("type"), text("status"), text("reason")))
}
