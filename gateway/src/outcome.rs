//! Lays what binding has shown over the statuses that translation has made: the one place where a status
//! depends on the machine.

use std::{collections::BTreeSet, io};

use ir::{Bind, BindId, ListenerId, SocketKey};
use manifest::ObjectId;
use nix::errno::Errno;
use serde_json::{Value, json};

use crate::status_store::{Metadata, ObjectStatus};

/// An address that is wanted and not listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unbound {
    /// Of which port.
    pub(crate) bind: BindId,
    /// Which address.
    pub(crate) key: SocketKey,
    /// Why, with the likely cause.
    pub(crate) message: String,
}

impl Unbound {
    /// Says what a refused address means.
    pub(crate) fn new(bind: BindId, key: SocketKey, error: &io::Error) -> Self {
        let cause = match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EADDRINUSE) => ": another process listens there",
            Some(Errno::EADDRNOTAVAIL) => ": no interface of this host has the address",
            Some(Errno::EACCES | Errno::EPERM) => ": ports below 1024 need CAP_NET_BIND_SERVICE",
            Some(Errno::EAFNOSUPPORT) => ": IPv6 is switched off on this host",
            _ => "",
        };
        Self { bind, key, message: format!("cannot listen on {key}{cause} ({error})") }
    }
}

/// Whether an address may be missing without anybody's asking for it: the IPv6 half of the wildcard of both
/// families, on a host without IPv6.
pub(crate) fn is_expected(bind: &Bind, key: &SocketKey, error: &io::Error) -> bool {
    let no_ipv6 =
        matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL));
    let other_half = |other: &SocketKey| other.address.is_unspecified() && other.address.is_ipv4();
    no_ipv6 && key.address.is_unspecified() && key.address.is_ipv6() && bind.sockets.iter().any(other_half)
}

/// A listener none of whose addresses is bound is not programmed, and the Gateway or ListenerSet that it stands in says
/// so where an address is missing. True if there was anything to say of this object.
pub(crate) fn lay_over(status: &mut ObjectStatus, config: &ir::Gateway, unbound: &[Unbound]) -> bool {
    let mut said = false;
    if unbound.is_empty() {
        return said;
    }
    for bind in &config.binds {
        let missing: Vec<&Unbound> = unbound.iter().filter(|unbound| unbound.bind == bind.id).collect();
        if missing.is_empty() {
            continue;
        }
        let message = missing.iter().map(|unbound| unbound.message.as_str()).collect::<Vec<_>>().join("; ");
        let bound_nowhere = bind.sockets.iter().all(|key| missing.iter().any(|unbound| unbound.key == *key));
        let names: BTreeSet<&str> =
            bind.listeners.iter().filter_map(|listener| name_in(&status.id, &listener.id)).collect();
        if !names.is_empty() {
            said = true;
            let reason = if &*status.id.kind == "Gateway" { "AddressNotUsable" } else { "PortUnavailable" };
            let ObjectStatus { document, .. } = &mut *status;
            let generation = &document.metadata;
            set(&mut document.status["conditions"], generation, "Programmed", reason, &message);
            let Some(listeners) = document.status.get_mut("listeners").and_then(Value::as_array_mut) else {
                continue;
            };
            for listener in listeners.iter_mut().filter(|_| bound_nowhere) {
                if listener["name"].as_str().is_some_and(|name| names.contains(name)) {
                    set(&mut listener["conditions"], generation, "Programmed", "PortUnavailable", &message);
                }
            }
        }
    }
    said
}

/// The name of a listener in the object that it stands in; `None`: it stands in another.
fn name_in<'l>(object: &ObjectId, listener: &'l ListenerId) -> Option<&'l str> {
    let parts: Vec<&str> = listener.0.split('/').collect();
    let (kind, namespace, owner, name) = match *parts.as_slice() {
        [namespace, gateway, name] => ("Gateway", namespace, gateway, name),
        [_, _, namespace, set, name] => ("ListenerSet", namespace, set, name),
        _ => return None,
    };
    let is_owner = &*object.kind == kind && &*object.namespace == namespace && &*object.name == owner;
    is_owner.then_some(name)
}

fn set(conditions: &mut Value, metadata: &Metadata, kind: &str, reason: &str, message: &str) {
    let condition = json!({
        "type": kind,
        "status": "False",
        "reason": reason,
        "message": message,
        "observedGeneration": metadata.generation,
    });
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    match conditions.iter_mut().find(|condition| condition["type"] == kind) {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

#[cfg(test)]
mod tests;
