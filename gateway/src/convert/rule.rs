use serde_json::{Value as Json, json};

use super::{effects::Effects, matches::Match, spot::Spot};

/// One match, and what is done with requests that fulfil it.
#[derive(Clone, Debug)]
pub(super) struct Rule<'a> {
    pub(super) matched: Match,
    pub(super) then: Then,
    /// What it was made of, for remarks.
    pub(super) spot: Spot<'a>,
}

/// What is done with a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Then {
    pub(super) effects: Effects,
    pub(super) backends: Vec<Json>,
    /// `timeouts.request`.
    pub(super) timeout: Option<String>,
    /// Something that decides who is let in, or what a backend may see, could not be kept: answered with 500.
    pub(super) closed: bool,
}

impl Then {
    fn write(&self, rule: &mut Json) {
        let Self { effects, backends, timeout, closed } = self;
        if *closed {
            return;
        }
        let filters = effects.documents();
        if !filters.is_empty() {
            rule["filters"] = json!(filters);
        }
        if effects.redirect.is_none() && !backends.is_empty() {
            rule["backendRefs"] = json!(backends);
        }
        if let Some(timeout) = timeout {
            rule["timeouts"] = json!({ "request": timeout });
        }
    }

    /// True if what is done is the same whichever of several matches was fulfilled.
    fn may_share(&self) -> bool {
        self.closed || !self.effects.replaces_prefix()
    }
}

/// Most matches of one rule, as HTTPRoute's definition has it.
const MOST_MATCHES: usize = 64;

/// `rules[]` with the number of matches of each: neighbours that do the same are one rule.
pub(super) fn documents(rules: &[Rule<'_>]) -> Vec<(Json, usize)> {
    let mut all: Vec<(&Then, Vec<&Match>)> = Vec::new();
    for Rule { matched, then, spot: _ } in rules {
        match all.last_mut() {
            Some((last, matches)) if *last == then && then.may_share() && matches.len() < MOST_MATCHES => {
                if !matches.contains(&matched) {
                    matches.push(matched);
                }
            }
            _ => all.push((then, vec![matched])),
        }
    }
    let document = |(then, matches): (&Then, Vec<&Match>)| {
        let mut rule = json!({ "matches": matches.iter().map(|one| one.document()).collect::<Vec<_>>() });
        then.write(&mut rule);
        (rule, matches.len())
    };
    all.into_iter().map(document).collect()
}
