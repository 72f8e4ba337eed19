use serde_json::{Value as Json, json};

use super::{
    gateway::{HTTP, HTTPS, Target},
    rule::{self, Rule},
};

/// An HTTPRoute in the making.
#[derive(Clone, Debug)]
pub(super) struct Route<'a> {
    pub(super) namespace: String,
    pub(super) name: String,
    /// None: every host.
    pub(super) hostnames: Vec<String>,
    pub(super) listeners: Listeners,
    pub(super) rules: Vec<Rule<'a>>,
}

/// The listeners that a route attaches to: by their port, for the hosts tell the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Listeners {
    /// Those in clear text. Where there are no others, they need no word.
    Clear,
    /// Those with TLS.
    Secure,
    /// All of them.
    Both,
}

/// Most rules of an HTTPRoute, and most matches of all its rules together, as its definition has it.
const MOST_RULES: usize = 16;
const MOST_MATCHES: usize = 128;

/// Most hostnames of an HTTPRoute.
const MOST_HOSTS: usize = 16;

/// With room for numbers behind it, of 253 characters.
const MOST_NAME: usize = 230;

impl Route<'_> {
    /// The objects: more than one where one may not have that many hostnames or rules.
    pub(super) fn documents(&self, target: &Target, namespace_of_gateway: &str, tls: bool) -> Vec<Json> {
        let Self { namespace, name, hostnames, listeners, rules } = self;
        let mut parent = json!({ "name": target.gateway });
        if namespace_of_gateway != namespace {
            parent["namespace"] = json!(namespace_of_gateway);
        }
        match listeners {
            Listeners::Clear if tls => parent["port"] = json!(HTTP),
            Listeners::Secure => parent["port"] = json!(HTTPS),
            Listeners::Clear | Listeners::Both => {}
        }
        let parts = parts(rule::documents(rules));
        let hosts: Vec<&[String]> =
            if hostnames.is_empty() { vec![&[]] } else { hostnames.chunks(MOST_HOSTS).collect() };
        let several = hosts.len() * parts.len() > 1;
        let each = hosts.iter().flat_map(|hosts| parts.iter().map(move |rules| (hosts, rules)));
        let document = |(number, (hosts, rules)): (usize, (&&[String], &Vec<Json>))| {
            // Two digits: among routes of one age the name decides.
            let name = if several { format!("{name}-{:02}", number + 1) } else { name.clone() };
            let mut spec = json!({ "parentRefs": [parent] });
            if !hosts.is_empty() {
                spec["hostnames"] = json!(hosts);
            }
            spec["rules"] = json!(rules);
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1",
                "kind": "HTTPRoute",
                "metadata": { "name": name, "namespace": namespace },
                "spec": spec,
            })
        };
        each.enumerate().map(document).collect()
    }
}

fn parts(rules: Vec<(Json, usize)>) -> Vec<Vec<Json>> {
    let mut parts: Vec<(Vec<Json>, usize)> = Vec::new();
    for (rule, matches) in rules {
        match parts.last_mut() {
            Some((part, taken)) if part.len() < MOST_RULES && *taken + matches <= MOST_MATCHES => {
                part.push(rule);
                *taken += matches;
            }
            _ => parts.push((vec![rule], matches)),
        }
    }
    parts.into_iter().map(|(part, _)| part).collect()
}

/// The name of the route for some hosts of an object that has others too.
pub(super) fn name_for(object: &str, host: Option<&str>) -> String {
    let host = host.unwrap_or("any").replace('*', "wildcard").replace('.', "-");
    format!("{object}-{host}").chars().take(MOST_NAME).collect::<String>().trim_end_matches('-').to_owned()
}
