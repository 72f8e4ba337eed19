use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    super::{
        effects::{Effects, PathChange, Redirect},
        gateway::Certificates,
        matches::{Match, PathTest},
        object::Object,
        order,
        remarks::Remarks,
        route::{Listeners, Route, name_for},
        rule::{Rule, Then},
        services::Services,
        spot::Spot,
    },
    backend::backend,
    canary,
    location::{Location, PathKind, Reading, condition},
    rewrite::{Rewrite, rewrite},
    settings::{Settings, full},
};

/// Groups that an Ingress is or was in.
const GROUPS: [&str; 2] = ["networking.k8s.io", "extensions"];

/// What HTTP/2 in clear text is called at a Service's port (KEP-3726).
const H2C: &str = "kubernetes.io/h2c";

/// True for an Ingress.
pub(in super::super) fn is_one(object: &Object<'_>) -> bool {
    object.is(&GROUPS, "Ingress")
}

struct Ingress<'a> {
    object: &'a Object<'a>,
    settings: Settings<'a>,
    /// Hosts with TLS.
    secure: BTreeSet<String>,
}

/// The routes of every Ingress.
pub(in super::super) fn routes<'a>(
    objects: &'a [Object<'a>],
    services: &Services<'_>,
    certificates: &mut Certificates<'a>,
    remarks: &mut Remarks,
) -> Vec<Route<'a>> {
    let all = objects.iter().filter(|object| is_one(object));
    let ingresses: Vec<Ingress<'a>> = all
        .map(|object| {
            let settings = Settings::of(object, remarks);
            let secure = secure_hosts(object, &settings, certificates, remarks);
            Ingress { object, settings, secure }
        })
        .collect();
    let expressions = hosts_of_expressions(&ingresses);
    let (mut main, mut canaries) = (Vec::new(), Vec::new());
    for (number, ingress) in ingresses.iter().enumerate() {
        let is_canary = ingress.settings.annotations.is_true("canary");
        let found = locations(number, ingress, &expressions, services, remarks);
        if is_canary { canaries.push((ingress, found)) } else { main.extend(found) }
    }
    for (ingress, found) in canaries {
        canary::lay_beside(&mut main, &found, &ingress.settings.annotations, remarks);
    }
    keep_order(&mut main, &ingresses, &expressions, remarks);
    let mut routes = Vec::new();
    for (number, ingress) in ingresses.iter().enumerate() {
        let own = main.iter().filter(|location| location.ingress == number);
        let mut by_host: BTreeMap<Option<&str>, Vec<Rule<'a>>> = BTreeMap::new();
        for location in own {
            by_host.entry(location.host.as_deref()).or_default().push(location.rule.clone());
        }
        let several = by_host.len() > 1;
        for (host, rules) in by_host {
            routes.extend(routes_of_host(ingress, host, several, rules));
        }
    }
    routes
}

/// Hosts with TLS, which are noted with their certificates.
fn secure_hosts<'a>(
    object: &'a Object<'a>,
    settings: &Settings<'a>,
    certificates: &mut Certificates<'a>,
    remarks: &mut Remarks,
) -> BTreeSet<String> {
    let mut secure = BTreeSet::new();
    for tls in Spot::root(object).field("spec").iter().flat_map(|spec| spec.list("tls")) {
        let hosts: Vec<String> = tls
            .field("hosts")
            .map(|hosts| hosts.texts())
            .unwrap_or_default()
            .into_iter()
            .map(str::to_ascii_lowercase)
            .collect();
        certificates.add(&hosts, tls.text_of("secretName"), &tls, remarks);
        if hosts.is_empty() {
            secure.insert(String::new());
        }
        secure.extend(hosts);
    }
    // Where TLS ends before nginx, or with its own certificate.
    if let (_, Some(_)) = settings.to_https {
        let rules =
            Spot::root(object).field("spec").iter().flat_map(|spec| spec.list("rules")).collect::<Vec<_>>();
        for rule in rules {
            let host = rule.text_of("host").map(str::to_ascii_lowercase).unwrap_or_default();
            if !secure.contains(&host) && !is_covered(&host, &secure) {
                let hosts = if host.is_empty() { Vec::new() } else { vec![host.clone()] };
                certificates.add(&hosts, None, &rule, remarks);
                secure.insert(host);
            }
        }
    }
    secure
}

/// Hosts of which ingress-nginx reads every path as an expression: one of them asks for it, or is rewritten.
fn hosts_of_expressions(ingresses: &[Ingress<'_>]) -> BTreeSet<Option<String>> {
    let mut hosts = BTreeSet::new();
    for Ingress { object, settings, .. } in ingresses {
        let target = settings.rewrite_target.as_ref().and_then(|spot| spot.text());
        for rule in Spot::root(object).field("spec").iter().flat_map(|spec| spec.list("rules")) {
            let rewritten =
                |path: &Spot<'_>| target.is_some_and(|target| path.text_of("path") != Some(target));
            let paths = rule.field("http").map(|http| http.list("paths")).unwrap_or_default();
            let asked = settings.reading == (Reading::Expression { ignore_case: true }) && !settings.in_order;
            if asked || paths.iter().any(rewritten) {
                hosts.insert(rule.text_of("host").map(str::to_ascii_lowercase));
            }
        }
    }
    hosts
}

fn locations<'a>(
    number: usize,
    ingress: &Ingress<'a>,
    expressions: &BTreeSet<Option<String>>,
    services: &Services<'_>,
    remarks: &mut Remarks,
) -> Vec<Location<'a>> {
    let Some(spec) = Spot::root(ingress.object).field("spec") else { return Vec::new() };
    let default = spec.field("defaultBackend").or_else(|| spec.field("backend"));
    let mut found = Vec::new();
    let mut hosts = BTreeSet::new();
    for rule in spec.list("rules") {
        let host = rule.text_of("host").map(str::to_ascii_lowercase);
        if let Some(wildcard) =
            rule.field("host").filter(|_| host.as_ref().is_some_and(|host| host.starts_with('*')))
        {
            remarks.differs(
                &wildcard,
                "the star of an Ingress stands for one label, that of an HTTPRoute for several",
            );
        }
        let reading = match ingress.settings.reading {
            Reading::Plain if expressions.contains(&host) => Reading::Expression { ignore_case: true },
            reading => reading,
        };
        for path in rule.field("http").map(|http| http.list("paths")).unwrap_or_default() {
            found.extend(location(number, ingress, host.clone(), reading, &path, services, remarks));
        }
        hosts.insert(host);
    }
    // Of hosts that it names, and of all others.
    hosts.insert(None);
    if let Some(default) = default {
        for host in hosts {
            let taken =
                found.iter().any(|one: &Location<'_>| one.host == host && one.rule.matched.path.is_any());
            let backend = if taken { None } else { backend(&default, services, remarks) };
            if let Some(backend) = backend {
                let then = Then { backends: vec![backend.document()], ..ingress.settings.then.clone() };
                let rule = Rule { matched: Match::default(), then, spot: default.clone() };
                let (path, kind) = ("/".to_owned(), PathKind::Prefix);
                found.push(Location { host, path, kind, ingress: number, backend: Some(backend), rule });
            }
        }
    }
    found
}

fn location<'a>(
    number: usize,
    ingress: &Ingress<'a>,
    host: Option<String>,
    reading: Reading,
    spot: &Spot<'a>,
    services: &Services<'_>,
    remarks: &mut Remarks,
) -> Option<Location<'a>> {
    let settings = &ingress.settings;
    let path = spot.text_of("path").unwrap_or("/").to_owned();
    let place = spot.field("path").unwrap_or_else(|| spot.clone());
    let kind = PathKind::of(spot, remarks);
    let mut matched = condition(&path, kind, reading, &place, remarks)?;
    let mut then = settings.then.clone();
    if let Some(redirect) = &settings.redirect {
        then.effects = Effects { redirect: Some(redirect.clone()), ..Effects::default() };
        let rule = Rule { matched, then, spot: place };
        return Some(Location { host, path, kind, ingress: number, backend: None, rule });
    }
    let backend = spot.field("backend").and_then(|spot| backend(&spot, services, remarks));
    if let Some(backend) = &backend {
        then.backends = vec![backend.document()];
        let service = (&*ingress.object.id.namespace, &*backend.service);
        if let Some(asked) = &settings.http2
            && services.protocol(service, backend.port) != Some(H2C)
        {
            let message =
                format!("port {} of Service {} must say `appProtocol: {H2C}`", backend.port, backend.service);
            remarks.differs(asked, message);
        }
        if let Some(instead) = settings.rewrites.get(&*backend.service) {
            match &matched.path {
                PathTest::Prefix(_) => then.effects.path = Some(PathChange::Prefix(instead.clone())),
                _ => {
                    then.closed = true;
                    remarks.lost(
                        &place,
                        "nginx.org/rewrites: only a prefix can be replaced; the path answers 500",
                    );
                }
            }
        }
    }
    if let Some(target) = &settings.rewrite_target {
        match rewrite(&path, target.text().unwrap_or_default()) {
            Ok(Rewrite::Nothing) => {}
            Ok(Rewrite::Whole(change)) => then.effects.path = Some(change),
            Ok(Rewrite::Prefix(prefix, change)) => {
                if !prefix.is_any() {
                    remarks.differs(&place, "became a prefix of whole elements, which is compared with case");
                }
                matched.path = prefix;
                then.effects.path = change;
            }
            Err(why) => {
                then.closed = true;
                remarks.lost(
                    &place,
                    format!(
                        "rewrite-target {}: {why}; the path answers 500",
                        target.text().unwrap_or_default()
                    ),
                );
            }
        }
    }
    let rule = Rule { matched, then, spot: place };
    Some(Location { host, path, kind, ingress: number, backend, rule })
}

/// nginx tries expressions of one host one after the other: ingress-nginx the longest first, NGINX's controller as they
/// stand.
fn keep_order(
    locations: &mut Vec<Location<'_>>,
    ingresses: &[Ingress<'_>],
    expressions: &BTreeSet<Option<String>>,
    remarks: &mut Remarks,
) {
    let in_order = |location: &Location<'_>| ingresses[location.ingress].settings.in_order;
    let by_length = |location: &Location<'_>| {
        let sorted = expressions.contains(&location.host) && !in_order(location);
        if sorted { Reverse(location.path.len()) } else { Reverse(0) }
    };
    locations.sort_by_key(|location| (location.host.clone(), in_order(location), by_length(location)));
    for of_host in locations.chunk_by_mut(|a, b| a.host == b.host) {
        let ordered = expressions.contains(&of_host[0].host) || of_host.iter().any(in_order);
        if ordered {
            let mut rules: Vec<&mut Rule<'_>> =
                of_host.iter_mut().map(|location| &mut location.rule).collect();
            order::keep(&mut rules, remarks);
        }
    }
}

/// The route of a host with its aliases, and those beside it that only redirect.
fn routes_of_host<'a>(
    ingress: &Ingress<'a>,
    host: Option<&str>,
    several: bool,
    mut rules: Vec<Rule<'a>>,
) -> Vec<Route<'a>> {
    let Ingress { object, settings, secure } = ingress;
    let root = Spot::root(object);
    let name = if several { name_for(&object.id.name, host) } else { object.id.name.to_string() };
    let namespace = object.id.namespace.to_string();
    let aliases = settings.aliases.iter().copied().filter(|_| host.is_some());
    let hostnames: Vec<String> = host.into_iter().chain(aliases).map(str::to_owned).collect();
    let redirecting = |redirect: Redirect, path: PathTest| Rule {
        matched: Match { path, ..Match::default() },
        then: Then { effects: Effects { redirect: Some(redirect), ..Effects::default() }, ..Then::default() },
        spot: root.clone(),
    };
    if let Some(app) = settings.app_root {
        let there = Redirect { scheme: None, hostname: None, port: None, path: Some(full(app)), status: 302 };
        rules.insert(0, redirecting(there, PathTest::Exact("/".to_owned())));
    }
    let is_secure =
        host.is_some_and(|host| secure.contains(host) || is_covered(host, secure)) || secure.contains("");
    let to_https = if is_secure { settings.to_https.0 } else { settings.to_https.1 };
    let listeners = match (is_secure, to_https) {
        (_, Some(_)) => Listeners::Secure,
        (true, None) => Listeners::Both,
        (false, None) => Listeners::Clear,
    };
    let mut beside = Vec::new();
    if let Some(status) = to_https {
        let rules = vec![redirecting(Redirect::to_https(status), PathTest::Prefix("/".to_owned()))];
        let (namespace, name) = (namespace.clone(), format!("{name}-to-https"));
        let hostnames = hostnames.clone();
        beside.push(Route { namespace, name, hostnames, listeners: Listeners::Clear, rules });
    }
    if let (true, Some(host)) = (settings.www, host.filter(|host| !host.starts_with('*'))) {
        let other = host.strip_prefix("www.").map_or_else(|| format!("www.{host}"), str::to_owned);
        let there =
            Redirect { scheme: None, hostname: Some(host.to_owned()), port: None, path: None, status: 308 };
        let rules = vec![redirecting(there, PathTest::Prefix("/".to_owned()))];
        let (namespace, name) = (namespace.clone(), format!("{name}-www"));
        beside.push(Route { namespace, name, hostnames: vec![other], listeners: Listeners::Both, rules });
    }
    std::iter::once(Route { namespace, name, hostnames, listeners, rules }).chain(beside).collect()
}

/// True if a wildcard among the hosts stands for this one.
fn is_covered(host: &str, secure: &BTreeSet<String>) -> bool {
    host.split_once('.').is_some_and(|(_, parent)| secure.contains(&format!("*.{parent}")))
}
