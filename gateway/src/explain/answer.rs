use std::fmt;

use serde::{Deserialize, Serialize};

/// What would become of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    /// Who would call.
    pub(crate) from: String,
    /// Where.
    pub(crate) to: String,
    /// The source in its PROXY header; missing: it sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proxy_source: Option<String>,
    /// The configuration in force; missing: the files were read, and nobody serves them, so that nothing is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u64>,
    /// The listening address that is meant, `0.0.0.0:8080/TCP`; missing: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listening: Option<String>,
    /// The interface that it would come in by and what enforces limits there; missing where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interface: Option<String>,
    /// The tier there: `xdp`, `tc`, `accept`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tier: Option<String>,
    /// One for each listener that it may be for; none where no address is meant.
    pub(crate) ways: Vec<Way>,
    /// All together.
    pub(crate) served: bool,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// A connection's way to one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Way {
    /// `namespace/gateway/listener`; missing: the server name falls under none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listener: Option<String>,
    /// Where the listener stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) behind: Option<Behind>,
    /// The hostname that a server name must fall under to come here; missing: any, or none is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<String>,
    /// Every check in its order; the first refusal ends it.
    pub(crate) checks: Vec<Line>,
    /// How it ends.
    pub(crate) verdict: Verdict,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    /// `kernel`, `accept`, `header`, `clienthello`.
    pub(crate) moment: String,
    /// `maxConnections`, `deny`, `allow`, `exempt`, `perSource`, `perPrefix`, `sourceRate`, `listenerRate`,
    /// `connectionLimit`, `proxyHeader`, `serverName`.
    pub(crate) check: String,
    /// `passes`, `refused`, `would_refuse`.
    pub(crate) outcome: String,
    /// As metrics and logs have it; missing where it passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What was found, and the value in force.
    pub(crate) found: String,
    /// Who has set the value; missing: it is a default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) behind: Option<Behind>,
}

/// Who has set a value, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Behind {
    /// `Kind namespace/name`.
    pub(crate) object: String,
    /// `spec.concurrentConnections.perSource.limit`.
    pub(crate) field: String,
    /// `file:line:column`.
    pub(crate) origin: String,
}

/// How a way ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Verdict {
    /// True: its requests are answered.
    pub(crate) served: bool,
    /// Why not; missing where it is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// What the client sees, by tier: the one in force, or each where none is known to be.
    pub(crate) sees: Vec<Sight>,
}

/// What a client sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sight {
    /// `xdp`, `tc`, `accept`, and `any` where it is the same everywhere.
    pub(crate) tier: String,
    /// For people.
    pub(crate) sees: String,
}

/// For people.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            from,
            to,
            proxy_source,
            generation,
            listening,
            interface,
            tier: _,
            ways,
            served: _,
            notes,
        } = self;
        write!(f, "a connection from {from} to {to}")?;
        if let Some(source) = proxy_source {
            write!(f, ", with a PROXY header for {source}")?;
        }
        match generation {
            Some(generation) => writeln!(f, ", generation {generation} in force")?,
            None => writeln!(f, ", as the files would have it; nothing is counted")?,
        }
        if let Some(listening) = listening {
            writeln!(f, "is for {listening}")?;
        }
        if let Some(interface) = interface {
            writeln!(f, "comes in by {interface}")?;
        }
        ways.iter().try_for_each(|way| way.fmt(f))?;
        notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listener, behind, hostname, checks, verdict } = self;
        match listener {
            Some(listener) => write!(f, "listener {listener}")?,
            None => write!(f, "no listener")?,
        }
        if let Some(hostname) = hostname {
            write!(f, ", if its server name falls under {hostname}")?;
        }
        writeln!(f, "{}", by(behind.as_ref()))?;
        for Line { moment, check, outcome, reason: _, found, behind } in checks {
            writeln!(f, "  {moment:<11} {outcome:<12} {check}: {found}{}", by(behind.as_ref()))?;
        }
        verdict.fmt(f)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { served: _, reason, sees } = self;
        match reason {
            Some(reason) => writeln!(f, "refused: {reason}")?,
            None => writeln!(f, "served")?,
        }
        for Sight { tier, sees } in sees {
            let tier = if tier == "any" { String::new() } else { format!(" ({tier})") };
            writeln!(f, "  the client sees{tier}: {sees}")?;
        }
        Ok(())
    }
}

/// In brackets behind what it is about, for people.
pub(super) fn by(behind: Option<&Behind>) -> String {
    behind.map_or_else(String::new, |Behind { object, field, origin }| {
        format!("  ({object} {field}, {origin})")
    })
}
