use ir::{CertifiedKey, Hostname, Protocol};

use super::{ListenerState, Owner};
use crate::status::ListenerReason;

/// Marks listeners of one object that cannot share a port: every one of them, as Envoy Gateway does, because none
/// has a better right. Listeners that are out already do not count.
pub(super) fn mark(states: &mut [ListenerState<'_>]) {
    let conflicts: Vec<_> = (0..states.len()).map(|place| conflict(states, place)).collect();
    for (state, conflict) in states.iter_mut().zip(conflicts) {
        state.conflict = state.conflict.take().or(conflict);
    }
}

/// Marks listeners of a ListenerSet that cannot share a port with those that have been there before: with any of
/// the Gateway's own, since where these disagree nobody knows what the port is, or with one of an older set that is
/// served there. A protocol that is not served can be beside HTTP no better than one that is.
pub(super) fn mark_junior(seniors: &[ListenerState<'_>], states: &mut [ListenerState<'_>]) {
    let holds = |senior: &&ListenerState<'_>| match senior.owner {
        Owner::Gateway(_) => senior.refusal.is_none(),
        Owner::Set(_) => senior.is_valid(),
    };
    let seniors: Vec<_> = seniors.iter().filter(holds).collect();
    for state in states {
        let shares = |senior: &&&ListenerState<'_>| senior.spec.port == state.spec.port;
        let seniors: Vec<_> = seniors.iter().filter(shares).copied().collect();
        let is_refused = state.refusal.as_ref().is_some_and(|(reason, _)| *reason == ListenerReason::Invalid);
        if !is_refused {
            state.conflict = junior_conflict(state, &seniors);
        }
    }
}

fn junior_conflict(
    mine: &ListenerState<'_>,
    seniors: &[&ListenerState<'_>],
) -> Option<(ListenerReason, String)> {
    let family = family(&mine.spec.protocol)?;
    let unlike = seniors.iter().filter(|other| self::family(&other.spec.protocol) != Some(family));
    protocol_conflict(mine, unlike.copied()).or_else(|| hostname_conflict(mine, seniors.iter().copied()))
}

/// What a port can be shared by. `None`: a protocol that meets no other, or none that we know.
fn family(protocol: &str) -> Option<&str> {
    match protocol {
        "HTTP" | "TCP" => Some(protocol),
        "HTTPS" | "TLS" => Some("TLS"),
        _ => None,
    }
}

fn conflict(states: &[ListenerState<'_>], place: usize) -> Option<(ListenerReason, String)> {
    let mine = &states[place];
    if !mine.is_valid() {
        return None;
    }
    let others: Vec<_> = siblings(states, place).into_iter().filter(|other| other.is_valid()).collect();
    let unlike = others.iter().filter(|other| other.protocol != mine.protocol);
    protocol_conflict(mine, unlike.copied()).or_else(|| hostname_conflict(mine, others.iter().copied()))
}

fn protocol_conflict<'s, 'a: 's>(
    mine: &ListenerState<'_>,
    unlike: impl Iterator<Item = &'s ListenerState<'a>>,
) -> Option<(ListenerReason, String)> {
    let unlike: Vec<String> = unlike.map(|other| other.name_for(mine.owner)).collect();
    (!unlike.is_empty()).then(|| {
        let port = mine.spec.port;
        let message =
            format!("Port {port} is shared with listeners of another protocol: {}.", unlike.join(", "));
        (ListenerReason::ProtocolConflict, message)
    })
}

fn hostname_conflict<'s, 'a: 's>(
    mine: &ListenerState<'_>,
    others: impl Iterator<Item = &'s ListenerState<'a>>,
) -> Option<(ListenerReason, String)> {
    let same = others.filter(|other| other.spec.hostname == mine.spec.hostname);
    let same: Vec<String> = same.map(|other| other.name_for(mine.owner)).collect();
    (!same.is_empty()).then(|| {
        let message = format!("Port and hostname are those of other listeners too: {}.", same.join(", "));
        (ListenerReason::HostnameConflict, message)
    })
}

/// Marks HTTPS listeners of one port that a client could take for one another: it may reuse an HTTP/2
/// connection for any name that the certificate covers (RFC 9113 §9.1.1). The proxy answers 421 then.
pub(super) fn mark_overlaps(states: &mut [ListenerState<'_>]) {
    let overlaps: Vec<_> = (0..states.len()).map(|place| overlap(states, place)).collect();
    for (state, overlap) in states.iter_mut().zip(overlaps) {
        state.overlap = overlap;
    }
}

fn overlap(states: &[ListenerState<'_>], place: usize) -> Option<(ListenerReason, String)> {
    let mine = &states[place];
    if !mine.is_valid() || mine.protocol != Some(Protocol::Https) {
        return None;
    }
    let others: Vec<_> = siblings(states, place).into_iter().filter(|other| other.is_valid()).collect();
    let answer = "a request on a connection of the other one's is answered 421";
    let hosts =
        others.iter().find(|other| hosts_overlap(mine.spec.hostname.as_ref(), other.spec.hostname.as_ref()));
    if let Some(other) = hosts {
        let name = other.name_for(mine.owner);
        let message = format!("The hostname overlaps with that of listener {name}: {answer}.");
        return Some((ListenerReason::OverlappingHostnames, message));
    }
    let other = others.iter().find(|other| {
        mine.certificates.iter().any(|a| other.certificates.iter().any(|b| certificates_overlap(a, b)))
    })?;
    let name = other.name_for(mine.owner);
    let message = format!("A certificate covers names of listener {name}'s too: {answer}.");
    Some((ListenerReason::OverlappingCertificates, message))
}

fn hosts_overlap(mine: Option<&Hostname>, other: Option<&Hostname>) -> bool {
    match (mine, other) {
        (Some(mine), Some(other)) => mine.intersection(other).is_some(),
        _ => true,
    }
}

fn certificates_overlap(a: &CertifiedKey, b: &CertifiedKey) -> bool {
    a.names().iter().any(|a| b.names().iter().any(|b| a.intersection(b).is_some()))
}

/// The other listeners of the same port.
fn siblings<'s, 'a>(states: &'s [ListenerState<'a>], place: usize) -> Vec<&'s ListenerState<'a>> {
    let port = states[place].spec.port;
    let others = states.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, state)| state);
    others.filter(|state| state.spec.port == port).collect()
}
