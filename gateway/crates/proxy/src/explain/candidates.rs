use std::{cmp::Reverse, sync::Arc};

use ir::{Hostname, Listener, PathMatch, RuleEntry, VirtualHost};

use super::{Candidate, Miss};
use crate::route;

/// So many matches that do not fit are told of.
const NEAR: usize = 5;

/// Where a request looks for its match.
#[derive(Clone, Copy)]
pub(super) struct Candidates<'a> {
    /// Of its port.
    pub(super) listeners: &'a [Arc<Listener>],
    /// Its own; `None`: it has none.
    pub(super) listener: Option<usize>,
    /// Its own virtual host of that listener.
    pub(super) virtual_host: Option<usize>,
    pub(super) host: Option<&'a str>,
    pub(super) request: &'a route::Request<'a>,
}

/// One match, before it is copied for somebody to read.
#[derive(Clone)]
struct One<'a> {
    listener: &'a Listener,
    virtual_host: &'a VirtualHost,
    entry: &'a RuleEntry,
    misses: Vec<Miss>,
}

/// The match that was found, and those around it.
#[derive(Default)]
pub(super) struct Around {
    pub(super) found: Option<Candidate>,
    pub(super) near: Vec<Candidate>,
    pub(super) next: Option<Candidate>,
}

impl Candidates<'_> {
    /// What led to the rule that the router has found.
    pub(super) fn around(&self, found: Option<&ir::RuleId>) -> Around {
        let own = self.own().and_then(|own| {
            let place = own.iter().position(|one| one.misses.is_empty())?;
            (Some(&own[place].entry.rule.id) == found).then_some((own, place))
        });
        let Some((own, place)) = own else {
            return Around { near: self.nearest(), ..Around::default() };
        };
        let found = &own[place].entry.rule;
        let next = own[place + 1..].iter();
        let mut next = next.filter(|one| one.misses.is_empty() && !Arc::ptr_eq(&one.entry.rule, found));
        let near = own[..place].iter().filter(|one| one.misses.len() == 1 && one.entry.rule.id != found.id);
        Around {
            next: next.next().map(One::candidate),
            near: near.take(NEAR).map(One::candidate).collect(),
            found: Some(own[place].candidate()),
        }
    }

    /// The entries that the request is tried against, in their order.
    fn own(&self) -> Option<Vec<One<'_>>> {
        let listener = &self.listeners[self.listener?];
        let virtual_host = &listener.hosts[self.virtual_host?];
        Some(virtual_host.entries.iter().map(|entry| self.one(listener, virtual_host, entry, None)).collect())
    }

    fn one<'b>(
        &'b self,
        listener: &'b Listener,
        virtual_host: &'b VirtualHost,
        entry: &'b RuleEntry,
        out_of_reach: Option<Miss>,
    ) -> One<'b> {
        let misses = out_of_reach.into_iter().chain(self.request.misses(&entry.matches)).collect();
        One { listener, virtual_host, entry, misses }
    }

    /// Those that come closest, of the whole port: the fewest misses, then the most of the path in common.
    fn nearest(&self) -> Vec<Candidate> {
        let mut all = Vec::new();
        for (place, listener) in self.listeners.iter().enumerate() {
            for (number, virtual_host) in listener.hosts.iter().enumerate() {
                let own = self.listener == Some(place) && self.virtual_host == Some(number);
                let covered =
                    self.covers(listener.hostname.as_ref()) && self.covers(virtual_host.hostname.as_ref());
                let out_of_reach = match (own, covered) {
                    (true, _) => None,
                    (false, true) => Some(Miss::LessSpecificHost),
                    (false, false) => Some(Miss::Host),
                };
                all.extend(
                    virtual_host
                        .entries
                        .iter()
                        .map(|entry| self.one(listener, virtual_host, entry, out_of_reach)),
                );
            }
        }
        let path = self.request.path();
        all.sort_by_cached_key(|one| (one.misses.len(), Reverse(in_common(&one.entry.matches.path, path))));
        all.iter().take(NEAR).map(One::candidate).collect()
    }

    fn covers(&self, hostname: Option<&Hostname>) -> bool {
        hostname.is_none_or(|hostname| self.host.is_some_and(|host| hostname.matches(host)))
    }
}

/// Bytes that a path begins with as a condition does.
fn in_common(condition: &PathMatch, path: &str) -> usize {
    let text = match condition {
        PathMatch::Exact(text) | PathMatch::Prefix(text) => text,
        PathMatch::Pattern(pattern) => pattern.as_str(),
    };
    text.bytes().zip(path.bytes()).take_while(|(one, other)| one == other).count()
}

impl One<'_> {
    fn candidate(&self) -> Candidate {
        let Self { listener, virtual_host, entry, misses } = self;
        Candidate {
            listener: listener.id.clone(),
            hostname: virtual_host.hostname.clone(),
            rule: Arc::clone(&entry.rule),
            place: entry.place,
            matches: entry.matches.clone(),
            misses: misses.clone(),
        }
    }
}
