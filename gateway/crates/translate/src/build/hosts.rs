use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use ir::{Hostname, HttpRule, RuleEntry, VirtualHost};

use super::rules::PlacedMatch;

/// Collects what the routes of one listener serve, then orders it. Routes are added from the oldest to the
/// youngest, and their rules and matches in their order: where all else is equal, the first added wins.
#[derive(Debug, Default)]
pub(super) struct Hosts<'r>(BTreeMap<Option<&'r Hostname>, Vec<RuleEntry>>);

impl<'r> Hosts<'r> {
    pub(super) fn add(&mut self, hosts: &'r [Option<Hostname>], rules: &[(Vec<PlacedMatch>, Arc<HttpRule>)]) {
        for host in hosts {
            let entries = self.0.entry(host.as_ref()).or_default();
            for (matches, rule) in rules {
                entries.extend(matches.iter().map(|(place, matches)| RuleEntry {
                    matches: matches.clone(),
                    place: *place,
                    rule: rule.clone(),
                }));
            }
        }
    }

    pub(super) fn finish(self) -> Vec<VirtualHost> {
        let mut hosts: Vec<VirtualHost> = self
            .0
            .into_iter()
            .map(|(hostname, mut entries)| {
                entries.sort_by_cached_key(|entry| entry.matches.precedence());
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
