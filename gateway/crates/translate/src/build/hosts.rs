use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use ir::{Hostname, HttpMatch, HttpRule, PathMatch, RuleEntry, VirtualHost};

/// Collects what the routes of one listener serve, then orders it. Routes are added from the oldest to the
/// youngest, and their rules and matches in their order: where all else is equal, the first added wins.
#[derive(Debug, Default)]
pub(super) struct Hosts<'r>(BTreeMap<Option<&'r Hostname>, Vec<RuleEntry>>);

impl<'r> Hosts<'r> {
    pub(super) fn add(&mut self, hosts: &'r [Option<Hostname>], rules: &[(Vec<HttpMatch>, Arc<HttpRule>)]) {
        for host in hosts {
            let entries = self.0.entry(host.as_ref()).or_default();
            for (matches, rule) in rules {
                let new =
                    matches.iter().map(|matches| RuleEntry { matches: matches.clone(), rule: rule.clone() });
                entries.extend(new);
            }
        }
    }

    pub(super) fn finish(self) -> Vec<VirtualHost> {
        let mut hosts: Vec<VirtualHost> = self
            .0
            .into_iter()
            .map(|(hostname, mut entries)| {
                entries.sort_by_cached_key(|entry| precedence(&entry.matches));
                VirtualHost { hostname: hostname.cloned(), entries }
            })
            .collect();
        hosts.sort_by(|a, b| specificity(a.hostname.as_ref()).cmp(&specificity(b.hostname.as_ref())));
        hosts
    }
}

/// Exact names, then wildcards from the longest to the shortest, then any host.
fn specificity(hostname: Option<&Hostname>) -> (u8, Reverse<usize>, &str) {
    match hostname {
        None => (2, Reverse(0), ""),
        Some(name) if name.wildcard_suffix().is_some() => (1, Reverse(name.as_str().len()), name.as_str()),
        Some(name) => (0, Reverse(0), name.as_str()),
    }
}

/// Gateway API's order, lowest first: exact path, regular expression, prefix; then length of the path; a method;
/// number of headers; number of query parameters.
fn precedence(matches: &HttpMatch) -> (u8, Reverse<usize>, Reverse<bool>, Reverse<usize>, Reverse<usize>) {
    let (kind, length) = match &matches.path {
        PathMatch::Exact(path) => (0, path.len()),
        PathMatch::Pattern(pattern) => (1, pattern.as_str().len()),
        PathMatch::Prefix(path) if &**path == "/" => (2, 0),
        PathMatch::Prefix(path) => (2, path.len()),
    };
    let HttpMatch { path: _, method, headers, query } = matches;
    (kind, Reverse(length), Reverse(method.is_some()), Reverse(headers.len()), Reverse(query.len()))
}
