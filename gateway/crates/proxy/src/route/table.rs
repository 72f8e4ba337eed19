use std::collections::HashMap;

use ir::{HttpMatch, HttpRule, PathMatch, VirtualHost};

use super::{RuleKey, conditions::Request};

/// The entries of one virtual host, in order of precedence, and where to look for those that fit a path. Each
/// place lists entries by rising number, so the first that matches there is the best there, and the lowest
/// number over all places is the answer.
pub(super) struct Table {
    entries: Box<[(HttpMatch, RuleKey)]>,
    exact: HashMap<Box<str>, Vec<u32>>,
    prefixes: Vec<Node>,
    patterns: Vec<u32>,
}

/// A node of the tree of prefixes, one level per path element: a walk is linear in the path and ends where no
/// prefix goes on, however many elements a client sends.
#[derive(Default)]
struct Node {
    children: HashMap<Box<str>, usize>,
    entries: Vec<u32>,
}

impl Table {
    /// Indexes the entries of a virtual host. `key` gives the place of each rule in the router.
    pub(super) fn build(
        host: &VirtualHost,
        mut key: impl FnMut(&std::sync::Arc<HttpRule>) -> RuleKey,
    ) -> Self {
        let mut table = Self {
            entries: host.entries.iter().map(|entry| (entry.matches.clone(), key(&entry.rule))).collect(),
            exact: HashMap::new(),
            prefixes: vec![Node::default()],
            patterns: Vec::new(),
        };
        for (number, entry) in (0..).zip(&host.entries) {
            match &entry.matches.path {
                PathMatch::Exact(path) => table.exact.entry(path.clone()).or_default().push(number),
                PathMatch::Prefix(prefix) => table.insert_prefix(prefix, number),
                PathMatch::Pattern(_) => table.patterns.push(number),
            }
        }
        table
    }

    fn insert_prefix(&mut self, prefix: &str, number: u32) {
        let mut at = 0;
        for element in elements(prefix).into_iter().flatten() {
            at = match self.prefixes[at].children.get(element) {
                Some(child) => *child,
                None => {
                    let child = self.prefixes.len();
                    self.prefixes.push(Node::default());
                    self.prefixes[at].children.insert(element.into(), child);
                    child
                }
            };
        }
        self.prefixes[at].entries.push(number);
    }

    /// The rule of the first entry that matches.
    pub(super) fn find(&self, request: &Request<'_>) -> Option<RuleKey> {
        let path = request.path();
        let exact = self.exact.get(path).map_or(&[][..], Vec::as_slice);
        let mut best = self.first(exact, u32::MAX, request);
        let mut patterns = self.patterns.iter().copied().take_while(|number| *number < best);
        best = patterns
            .find(|number| self.satisfied(*number, request) && self.pattern_matches(*number, path))
            .unwrap_or(best);
        if let Some(below) = path.strip_prefix('/') {
            best = self.first(&self.prefixes[0].entries, best, request);
            let mut at = 0;
            for element in below.split('/') {
                match self.prefixes[at].children.get(element) {
                    Some(child) => at = *child,
                    None => break,
                }
                best = self.first(&self.prefixes[at].entries, best, request);
            }
        }
        self.entries.get(best as usize).map(|(_, rule)| *rule)
    }

    /// The first of the listed entries below `best` whose conditions hold, else `best`.
    fn first(&self, numbers: &[u32], best: u32, request: &Request<'_>) -> u32 {
        let mut better = numbers.iter().copied().take_while(|number| *number < best);
        better.find(|number| self.satisfied(*number, request)).unwrap_or(best)
    }

    fn satisfied(&self, number: u32, request: &Request<'_>) -> bool {
        request.satisfies(&self.entries[number as usize].0)
    }

    fn pattern_matches(&self, number: u32, path: &str) -> bool {
        match &self.entries[number as usize].0.path {
            PathMatch::Pattern(pattern) => pattern.is_match(path.as_bytes()),
            PathMatch::Exact(_) | PathMatch::Prefix(_) => false,
        }
    }
}

/// The elements of a prefix; `None` for `/`, which has none.
fn elements(prefix: &str) -> Option<std::str::Split<'_, char>> {
    let rest = prefix.strip_prefix('/').unwrap_or(prefix);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    (!rest.is_empty()).then(|| rest.split('/'))
}
