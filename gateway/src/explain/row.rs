use std::net::IpAddr;

use ipnet::IpNet;
use ir::{Bind, ConnectionRate, RateUnit};
use proxy::{
    PolicyCheck,
    explain::{Check, Moment, Outcome, Path, Reads, Step},
};

use super::{Behind, Context, Line, context::first};

/// Where a ClientTrafficPolicy has its limit.
pub(super) const CONNECTION_LIMIT: &str = "spec.connection.connectionLimit.value";

/// One check with its name, what was found, and who is behind it.
pub(super) fn line(context: &Context<'_>, bind: &Bind, path: &Path, step: &Step) -> Line {
    let Step { moment, check, outcome } = step;
    let counted = context.running.is_some();
    let moment = match moment {
        Moment::Accept => "accept",
        Moment::Header => "header",
        Moment::ClientHello => "clienthello",
    };
    let (outcome, reason) = match outcome {
        Outcome::Passes => ("passes", None),
        Outcome::Refused(reason) => ("refused", Some(*reason)),
        Outcome::WouldRefuse(reason) => ("would_refuse", Some(*reason)),
    };
    let (name, found, behind) = match check {
        Check::Global { open, limit } => {
            let found = format!("{}, over all listeners", share(counted, *open, *limit));
            ("maxConnections", found, context.origins.max_connections.as_ref().map(Behind::from))
        }
        Check::Policy(check) => {
            let (name, found) = policy(*check, counted);
            (name, found, by_policy(context, path, field(*check)))
        }
        Check::Connections { open, limit } => {
            let found = match limit {
                Some(limit) => share(counted, *open, *limit),
                None => "there is no limit".to_owned(),
            };
            ("connectionLimit", found, by_policy(context, path, CONNECTION_LIMIT))
        }
        Check::Header { source, reads } => {
            ("proxyHeader", header(*source, *reads), by_header(context, bind, *source, *reads))
        }
        Check::ServerName => {
            let found = match (&path.listener, &path.hostname) {
                (None, _) => "the server name falls under no listener's hostname".to_owned(),
                (Some(_), Some(hostname)) => format!("the server name falls under {hostname}"),
                (Some(_), None) => "any server name will do".to_owned(),
            };
            let listener = path.listener.as_ref();
            let behind = listener.and_then(|id| context.origins.listeners.get(id)).map(Behind::from);
            ("serverName", found, behind)
        }
    };
    Line {
        moment: moment.to_owned(),
        check: name.to_owned(),
        outcome: outcome.to_owned(),
        reason: reason.map(str::to_owned),
        found,
        behind,
    }
}

/// The field of a ConnectionPolicy that a check comes from.
pub(super) const fn field(check: PolicyCheck) -> &'static str {
    match check {
        PolicyCheck::Deny { .. } => "spec.clientCIDRs.deny",
        PolicyCheck::Allow { .. } => "spec.clientCIDRs.allow",
        PolicyCheck::Exempt { .. } => "spec.clientCIDRs.exempt",
        PolicyCheck::PerSource { .. } => "spec.concurrentConnections.perSource.limit",
        PolicyCheck::PerPrefix { .. } => "spec.concurrentConnections.perPrefix.limit",
        PolicyCheck::SourceRate { .. } => "spec.connectionRate.perSource.connections",
        PolicyCheck::ListenerRate { .. } => "spec.connectionRate.perListener.connections",
    }
}

fn policy(check: PolicyCheck, counted: bool) -> (&'static str, String) {
    match check {
        PolicyCheck::Deny { address, network } => ("deny", listed(address, network)),
        PolicyCheck::Allow { address, network } => ("allow", listed(address, network)),
        PolicyCheck::Exempt { address, network } => {
            ("exempt", format!("{}, so its limits and rates are not asked", listed(address, Some(network))))
        }
        PolicyCheck::PerSource { source, open, limit } => {
            ("perSource", format!("{} from {}", share(counted, open.into(), limit.into()), source.addr()))
        }
        PolicyCheck::PerPrefix { network, open, limit } => {
            ("perPrefix", format!("{} from {network}", share(counted, open.into(), limit.into())))
        }
        PolicyCheck::SourceRate { address, left, rate } => {
            ("sourceRate", format!("{} from {address}", pace(counted, left, rate)))
        }
        PolicyCheck::ListenerRate { left, rate } => ("listenerRate", pace(counted, left, rate)),
    }
}

fn listed(address: IpAddr, network: Option<IpNet>) -> String {
    match network {
        Some(network) => format!("{address} is in {network}"),
        None => format!("{address} is in none of its networks"),
    }
}

fn share(counted: bool, open: u64, limit: u64) -> String {
    if counted { format!("{open} of {limit} open") } else { format!("at most {limit} open") }
}

fn pace(counted: bool, left: u64, rate: ConnectionRate) -> String {
    let ConnectionRate { connections, unit, burst } = rate;
    let unit = match unit {
        RateUnit::Second => "second",
        RateUnit::Minute => "minute",
        RateUnit::Hour => "hour",
    };
    let left = if counted { format!(", {left} left now") } else { String::new() };
    format!("{connections} new ones a {unit}, {burst} at once{left}")
}

fn header(source: Option<IpAddr>, reads: Reads) -> String {
    match (reads, source) {
        (Reads::Nothing, _) => {
            "no PROXY header is read here: it would be taken for a request, and answered 400".to_owned()
        }
        (Reads::Header { trusted: true, .. }, Some(source)) => {
            format!("the sender is trusted: {source} calls")
        }
        (Reads::Header { trusted: false, .. }, Some(_)) => "the sender is no trusted one".to_owned(),
        (Reads::Header { optional: true, .. }, None) => "none, and none is needed: the peer calls".to_owned(),
        (Reads::Header { optional: false, .. }, None) => {
            "none, and one is needed; --proxy-source says which source it would have".to_owned()
        }
    }
}

fn by_policy(context: &Context<'_>, path: &Path, field: &str) -> Option<Behind> {
    path.listener.as_ref().and_then(|id| context.limit(id, field))
}

/// Who has a say in headers is the port's first listener.
fn by_header(context: &Context<'_>, bind: &Bind, source: Option<IpAddr>, reads: Reads) -> Option<Behind> {
    let first = first(bind)?;
    match (reads, source) {
        (Reads::Header { .. }, Some(_)) => context
            .limit(&first.id, "spec.proxyProtocol.trustedSenders")
            .or_else(|| context.origins.trusted_senders.as_ref().map(Behind::from)),
        _ => context.origins.proxy_protocol.get(&first.id).map(Behind::from),
    }
}
