use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    super::{
        gateway::Certificates,
        matches::Match,
        object::Object,
        order,
        remarks::Remarks,
        route::{Listeners, Route, name_for},
        rule::{Rule, Then},
        services::Services,
        spot::Spot,
    },
    conjunction::conjunction,
    expression,
    middleware::{self, Middlewares},
    normal::alternatives,
    paths::Draft,
    router::Router,
    service::Backends,
};

/// Traefik's groups, the newer one first.
const GROUPS: [&str; 2] = ["traefik.io", "traefik.containo.us"];

/// Kinds of these groups that are read; others are said to be left out.
const READ: [&str; 4] = ["IngressRoute", "Middleware", "TraefikService", "TLSStore"];

/// True for an IngressRoute.
pub(in super::super) fn is_one(object: &Object<'_>) -> bool {
    object.is(&GROUPS, "IngressRoute")
}

/// The routes of every IngressRoute.
pub(in super::super) fn routes<'a>(
    objects: &'a [Object<'a>],
    services: &Services<'_>,
    certificates: &mut Certificates<'a>,
    remarks: &mut Remarks,
) -> Vec<Route<'a>> {
    let of_traefik = objects.iter().filter(|object| GROUPS.contains(&&*object.id.group));
    for object in of_traefik.filter(|object| !READ.contains(&&*object.id.kind)) {
        remarks.lost(
            &Spot::root(object),
            format!("{} has no counterpart that it could be converted to", object.id.kind),
        );
    }
    let context = Context {
        middlewares: Middlewares::of(objects, &GROUPS),
        backends: Backends::of(objects, &GROUPS, services),
    };
    let mut routers = Vec::new();
    for object in objects.iter().filter(|object| is_one(object)) {
        context.routers_of(object, &mut routers, certificates, remarks);
    }
    spread_over_hosts(&mut routers);
    keep_order(&mut routers, remarks);
    grouped(routers)
}

struct Context<'a, 's> {
    middlewares: Middlewares<'a>,
    backends: Backends<'a, 's>,
}

impl<'a> Context<'a, '_> {
    fn routers_of(
        &self,
        object: &'a Object<'a>,
        routers: &mut Vec<Router<'a>>,
        certificates: &mut Certificates<'a>,
        remarks: &mut Remarks,
    ) {
        let Some(spec) = Spot::root(object).field("spec") else { return };
        let listeners = listeners(&spec, remarks);
        let before = routers.len();
        for route in spec.list("routes") {
            self.routers_of_rule(object, &route, listeners, routers, remarks);
        }
        if let Some(tls) = spec.field("tls") {
            let hosts: BTreeSet<String> =
                routers[before..].iter().filter_map(|router| router.host.clone()).collect();
            let hosts: Vec<String> = hosts.into_iter().collect();
            if let Some(resolver) = tls.field("certResolver") {
                remarks.differs(
                    &resolver,
                    "certificates are not fetched here: put one into a Secret for each host",
                );
            }
            if let Some(options) = tls.field("options") {
                remarks.lost(&options, "left out: TLS settings are ClientTrafficPolicy's");
            }
            certificates.add(&hosts, tls.text_of("secretName"), &tls, remarks);
        }
    }

    fn routers_of_rule(
        &self,
        object: &'a Object<'a>,
        route: &Spot<'a>,
        listeners: Listeners,
        routers: &mut Vec<Router<'a>>,
        remarks: &mut Remarks,
    ) {
        let Some(rule) = route.field("match") else {
            return remarks.lost(route, "has no rule, and is left out");
        };
        let text = rule.text().unwrap_or_default();
        let found = expression::parse(text).and_then(|expression| alternatives(&expression));
        let alternatives = match found {
            Ok(alternatives) => alternatives,
            Err(why) => return remarks.lost(&rule, format!("{why}; the route is left out")),
        };
        if let Some(observability) = route.field("observability") {
            remarks.lost(&observability, "left out: it is about Traefik's own logs and metrics");
        }
        let priority =
            route.text_of("priority").and_then(|text| text.parse().ok()).filter(|priority| *priority != 0);
        let priority = priority.unwrap_or_else(|| i64::try_from(text.len()).unwrap_or(i64::MAX));
        let namespace = &*object.id.namespace;
        let backends = self.backends.documents(&route.list("services"), namespace, remarks);
        for literals in alternatives {
            let Some(said) = conjunction(&literals, &rule, remarks) else { continue };
            let then = Then {
                closed: backends.is_none(),
                backends: backends.clone().unwrap_or_default(),
                ..Then::default()
            };
            let secure = listeners == Listeners::Secure;
            let worked_for = middleware::Router { secure, host: said.host.as_deref(), namespace };
            let draft = Draft { matched: said.matched, then };
            let drafts =
                self.middlewares.apply(vec![draft], &route.list("middlewares"), worked_for, 0, remarks);
            for Draft { matched, then } in drafts {
                let rule = Rule { matched, then, spot: rule.clone() };
                let (host, place) = (said.host.clone(), routers.len());
                routers.push(Router { object, host, listeners, priority, place, rule });
            }
        }
    }
}

/// A router with `tls` is asked over TLS only, and one without in clear text only, unless its entry point says otherwise.
fn listeners(spec: &Spot<'_>, remarks: &mut Remarks) -> Listeners {
    let points = spec.field("entryPoints");
    let names = points.as_ref().map(Spot::texts).unwrap_or_default();
    if let Some(points) = &points {
        for name in names.iter().filter(|name| !["web", "websecure"].contains(*name)) {
            let message =
                format!("the entry point `{name}` is read as the port of the Gateway that suits `tls`");
            remarks.differs(points, message);
        }
    }
    match (spec.field("tls"), points) {
        (Some(_), _) => Listeners::Secure,
        (None, Some(points)) if !names.is_empty() && names.iter().all(|name| *name == "websecure") => {
            remarks.differs(
                &points,
                "no `tls` here: the entry point is taken to bring it, with its certificate",
            );
            Listeners::Secure
        }
        (None, _) => Listeners::Clear,
    }
}

/// Traefik asks every router; a request whose host an HTTPRoute names is not tried against those that name none. So what
/// holds for every host stands under each of them too.
fn spread_over_hosts(routers: &mut Vec<Router<'_>>) {
    let known: BTreeSet<(Listeners, String)> =
        routers.iter().filter_map(|router| Some((router.listeners, router.host.clone()?))).collect();
    let covers = |router: &Router<'_>, host: &str| match router.host.as_deref() {
        None => true,
        Some(own) => own != host && own.strip_prefix('*').is_some_and(|suffix| host.ends_with(suffix)),
    };
    let mut more = Vec::new();
    for router in routers.iter() {
        let hosts =
            known.iter().filter(|(listeners, host)| *listeners == router.listeners && covers(router, host));
        more.extend(hosts.map(|(_, host)| Router { host: Some(host.clone()), ..router.clone() }));
    }
    routers.extend(more);
}

/// Under each host, rules in the order in which Traefik tries them.
fn keep_order(routers: &mut [Router<'_>], remarks: &mut Remarks) {
    routers.sort_by_key(|router| {
        (router.listeners, router.host.clone(), Reverse(router.priority), router.place)
    });
    let same = |a: &Router<'_>, b: &Router<'_>| (a.listeners, &a.host) == (b.listeners, &b.host);
    for of_host in routers.chunk_by_mut(same) {
        let mut rules: Vec<&mut Rule<'_>> = of_host.iter_mut().map(|router| &mut router.rule).collect();
        order::keep(&mut rules, remarks);
    }
}

/// What has rules of its own: an object by its number, listeners, a host.
type Whole = (usize, Listeners, Option<String>);

/// Routes: for each object, one for all hosts that have the same rules.
fn grouped(routers: Vec<Router<'_>>) -> Vec<Route<'_>> {
    let mut by_host: BTreeMap<Whole, Vec<(usize, Rule<'_>)>> = BTreeMap::new();
    let mut objects: Vec<&Object<'_>> = Vec::new();
    let mut ordered: Vec<&Router<'_>> = routers.iter().collect();
    ordered.sort_by_key(|router| router.place);
    for router in &ordered {
        if !objects.iter().any(|object| std::ptr::eq(*object, router.object)) {
            objects.push(router.object);
        }
    }
    let number = |router: &Router<'_>| objects.iter().position(|object| std::ptr::eq(*object, router.object));
    for router in &routers {
        let key = (number(router).unwrap_or_default(), router.listeners, router.host.clone());
        by_host.entry(key).or_default().push((router.place, router.rule.clone()));
    }
    let mut routes: Vec<(usize, Route<'_>)> = Vec::new();
    for ((number, listeners, host), placed) in by_host {
        let rules = arranged(placed);
        let same = routes.iter_mut().find(|(of, route)| {
            *of == number
                && route.listeners == listeners
                && !route.hostnames.is_empty()
                && are_same(&route.rules, &rules)
        });
        match (same, host) {
            (Some((_, route)), Some(host)) => route.hostnames.push(host),
            (_, host) => {
                let namespace = objects[number].id.namespace.to_string();
                let hostnames = host.into_iter().collect();
                let name = objects[number].id.name.to_string();
                routes.push((number, Route { namespace, name, hostnames, listeners, rules }));
            }
        }
    }
    named(routes)
}

/// As they stand in the object where that makes no difference, else in the order in which they are tried.
fn arranged(placed: Vec<(usize, Rule<'_>)>) -> Vec<Rule<'_>> {
    let as_tried: Vec<Rule<'_>> = placed.iter().map(|(_, rule)| rule.clone()).collect();
    if !order::is_free(&as_tried) {
        return as_tried;
    }
    let mut placed = placed;
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, rule)| rule).collect()
}

fn are_same(one: &[Rule<'_>], other: &[Rule<'_>]) -> bool {
    let parts = |rule: &Rule<'_>| -> (Match, Then) { (rule.matched.clone(), rule.then.clone()) };
    one.iter().map(parts).eq(other.iter().map(parts))
}

fn named(mut routes: Vec<(usize, Route<'_>)>) -> Vec<Route<'_>> {
    let count =
        |routes: &[(usize, Route<'_>)], number: usize| routes.iter().filter(|(of, _)| *of == number).count();
    for place in 0..routes.len() {
        if count(&routes, routes[place].0) > 1 {
            let route = &mut routes[place].1;
            route.name = name_for(&route.name, route.hostnames.first().map(String::as_str));
        }
    }
    routes.into_iter().map(|(_, route)| route).collect()
}
