use ir::{CertifiedKey, Hostname, Protocol};

use super::ListenerState;
use crate::status::ListenerReason;

/// Marks listeners that cannot share a port: every one of them, as Envoy Gateway does, because none has a
/// better right. Listeners that are refused anyway do not count.
pub(super) fn mark(states: &mut [ListenerState<'_>]) {
    let conflicts: Vec<_> = (0..states.len()).map(|place| conflict(states, place)).collect();
    for (state, conflict) in states.iter_mut().zip(conflicts) {
        state.conflict = conflict;
    }
}

fn conflict(states: &[ListenerState<'_>], place: usize) -> Option<(ListenerReason, String)> {
    let mine = &states[place];
    if mine.refusal.is_some() {
        return None;
    }
    let others = siblings(states, place);
    let unlike: Vec<&str> = others
        .iter()
        .filter(|other| other.protocol != mine.protocol)
        .map(|other| other.spec.name.as_str())
        .collect();
    if !unlike.is_empty() {
        let port = mine.spec.port;
        let message =
            format!("Port {port} is shared with listeners of another protocol: {}.", unlike.join(", "));
        return Some((ListenerReason::ProtocolConflict, message));
    }
    let same: Vec<&str> = others
        .iter()
        .filter(|other| other.spec.hostname == mine.spec.hostname)
        .map(|other| other.spec.name.as_str())
        .collect();
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
        let message = format!("The hostname overlaps with that of listener {}: {answer}.", other.spec.name);
        return Some((ListenerReason::OverlappingHostnames, message));
    }
    let other = others.iter().find(|other| {
        mine.certificates.iter().any(|a| other.certificates.iter().any(|b| certificates_overlap(a, b)))
    })?;
    let message = format!("A certificate covers names of listener {}'s too: {answer}.", other.spec.name);
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

/// The other listeners of the same port that are not refused.
fn siblings<'s, 'a>(states: &'s [ListenerState<'a>], place: usize) -> Vec<&'s ListenerState<'a>> {
    let port = states[place].spec.port;
    let others = states.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, state)| state);
    others.filter(|state| state.spec.port == port && state.refusal.is_none()).collect()
}
