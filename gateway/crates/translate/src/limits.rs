use ir::{
    ConnectionLimit, ConnectionRate, ConnectionRules, ConnectionSettings, KeyedRate, ListenerId, PrefixLimit,
    RefusalAction, SourceKey, SourceLimit, SourceNetworks,
};
use manifest::{Object, ObjectId, Origin};
use serde::Serialize;

/// One value that decides which connections a listener serves, and who has set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectiveLimit {
    /// Where it is in force.
    pub listener: ListenerId,
    /// The field of the policy, from its root: `spec.concurrentConnections.perSource.limit`.
    pub field: &'static str,
    /// For people: `20 by peer`.
    pub value: String,
    /// The policy.
    pub policy: ObjectId,
    /// Where the field stands.
    pub origin: Origin,
}

/// A field and its value.
type Row = (&'static str, String);

/// The rows of one policy for one listener.
pub(crate) fn effective<'a, T>(
    listener: &'a ListenerId,
    object: &'a Object<T>,
    rows: Vec<Row>,
) -> impl Iterator<Item = EffectiveLimit> + use<'a, T> {
    rows.into_iter().map(|(field, value)| EffectiveLimit {
        listener: listener.clone(),
        field,
        value,
        policy: object.id.clone(),
        origin: object.field_origin(field),
    })
}

/// What a ClientTrafficPolicy limits.
pub(crate) fn of_client(settings: &ConnectionSettings) -> Vec<Row> {
    let Some(ConnectionLimit { value, close_delay }) = settings.limit else { return Vec::new() };
    let mut rows = vec![("spec.connection.connectionLimit.value", value.to_string())];
    rows.extend(
        close_delay.map(|delay| ("spec.connection.connectionLimit.closeDelay", format!("{delay:?}"))),
    );
    rows
}

/// What a ConnectionPolicy limits.
pub(crate) fn of_connection(rules: &ConnectionRules) -> Vec<Row> {
    let ConnectionRules {
        networks: SourceNetworks { deny, allow, exempt, key },
        per_source,
        per_prefix,
        source_rate,
        listener_rate,
        trusted_senders,
        // They refuse nobody.
        tlv_headers: _,
        action,
        dry_run,
    } = rules;
    let mut rows = Vec::new();
    let lists = [
        ("spec.clientCIDRs.deny", deny, by(*key)),
        ("spec.clientCIDRs.allow", allow, by(*key)),
        ("spec.clientCIDRs.exempt", exempt, ""),
    ];
    let lists = lists.into_iter().filter(|(_, list, _)| !list.is_empty());
    rows.extend(lists.map(|(field, list, by)| (field, format!("{}{by}", networks(list)))));
    rows.extend(per_source.map(|SourceLimit { limit, key }| {
        ("spec.concurrentConnections.perSource.limit", format!("{limit}{}", by(key)))
    }));
    rows.extend(per_prefix.map(|limit| ("spec.concurrentConnections.perPrefix.limit", prefix(limit))));
    rows.extend(listener_rate.map(|limit| ("spec.connectionRate.perListener.connections", rate(limit, ""))));
    rows.extend(
        source_rate.map(|limit| ("spec.connectionRate.perSource.connections", rate(limit, by(limit.key)))),
    );
    if let Some(senders) = trusted_senders {
        rows.push(("spec.proxyProtocol.trustedSenders", networks(senders)));
    }
    if let Some(action) = self::action(*action) {
        rows.push(("spec.action.type", action));
    }
    if *dry_run {
        rows.push(("spec.dryRun", "true: nothing is refused".to_owned()));
    }
    rows
}

fn by(key: SourceKey) -> &'static str {
    match key {
        SourceKey::Peer => " by peer",
        SourceKey::ProxySource => " by PROXY source",
    }
}

fn networks(list: &[ipnet::IpNet]) -> String {
    /// More are counted, not listed.
    const SHOWN: usize = 4;
    let mut text = list.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if list.is_empty() {
        text.push_str("none");
    } else if list.len() > SHOWN {
        text.push_str(&format!(" and {} more", list.len() - SHOWN));
    }
    text
}

fn prefix(limit: PrefixLimit) -> String {
    let PrefixLimit { limit, ipv4_prefix_length, ipv6_prefix_length, key } = limit;
    format!("{limit}{}'s /{ipv4_prefix_length} (IPv4) or /{ipv6_prefix_length} (IPv6)", by(key))
}

fn rate(limit: KeyedRate, by: &str) -> String {
    let KeyedRate { rate: ConnectionRate { connections, unit, burst }, key: _ } = limit;
    format!("{connections} per {unit:?}, burst {burst}{by}")
}

/// `None`: what holds by default.
fn action(action: RefusalAction) -> Option<String> {
    match action {
        RefusalAction::Reset => None,
        RefusalAction::Drop => Some("Drop (a reset in user space)".to_owned()),
        RefusalAction::CloseAfterDelay(delay) => Some(format!("CloseAfterDelay {delay:?}")),
    }
}
