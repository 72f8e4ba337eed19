//! Refused connections as the admin page and `gateway status --top` show them: by policy, and who is refused most.

use prometheus::Registry;
use proxy::{RefusedSources, TopSource};
use serde::{Deserialize, Serialize};

/// Rows of `top` where nobody asks for another number.
pub(crate) const ROWS: usize = 20;

/// What the admin page's `/refused` says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refused {
    /// Counts since the start, as the metrics have them, most first.
    pub(crate) by_policy: Vec<PolicyLine>,
    /// Who is refused most, over the last 10 to 20 minutes.
    pub(crate) top: Vec<TopLine>,
}

/// Refused connections of one listener, tier and reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyLine {
    /// `namespace/name`; missing where no policy asks for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) policy: String,
    /// `namespace/gateway/listener`.
    pub(crate) listener: String,
    /// `accept`, `tc`, `xdp`.
    pub(crate) tier: String,
    /// As in the metric.
    pub(crate) reason: String,
    /// True: they were served, since the policy is on a dry run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) dry_run: bool,
    /// How many.
    pub(crate) refused: u64,
}

/// A source of refused connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TopLine {
    /// An IPv4 address (`/32`), or an IPv6 network of 64 bits.
    pub(crate) source: String,
    /// The last address of it that was refused.
    pub(crate) latest: String,
    /// `namespace/gateway/listener`.
    pub(crate) listener: String,
    /// `accept`, `tc`, `xdp`.
    pub(crate) tier: String,
    /// As in the metric.
    pub(crate) reason: String,
    /// `namespace/name`; missing where no policy asks for it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) policy: String,
    /// True: they were served, since the policy is on a dry run.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) dry_run: bool,
    /// How many; an estimate where the tier is one of the kernel's.
    pub(crate) refused: u64,
    /// By how many that may be too high for want of room.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) over_by: u64,
}

impl Refused {
    /// What is known now: the counters of the registry, and the `rows` sources that are refused most.
    pub(crate) fn read(registry: &Registry, sources: &RefusedSources, rows: usize) -> Self {
        let top = sources.top(rows).into_iter().map(TopLine::from).collect();
        Self { by_policy: by_policy(registry), top }
    }
}

impl From<TopSource> for TopLine {
    fn from(top: TopSource) -> Self {
        let TopSource { source, latest, listener, tier, reason, policy, dry_run, refused, over_by } = top;
        Self {
            source: source.to_string(),
            latest: latest.to_string(),
            listener: listener.to_string(),
            tier: tier.to_owned(),
            reason: reason.to_owned(),
            policy: policy.map(|policy| policy.to_string()).unwrap_or_default(),
            dry_run,
            refused,
            over_by,
        }
    }
}

fn by_policy(registry: &Registry) -> Vec<PolicyLine> {
    let mut lines = Vec::new();
    for family in registry.gather() {
        let dry_run = match family.name() {
            proxy::metrics::REFUSED => false,
            proxy::metrics::DRY_RUN => true,
            _ => continue,
        };
        for series in family.get_metric() {
            let mut line = PolicyLine {
                dry_run,
                refused: series.get_counter().get_value() as u64,
                ..PolicyLine::default()
            };
            for label in series.get_label() {
                let field = match label.name() {
                    "policy" => &mut line.policy,
                    "listener" => &mut line.listener,
                    "tier" => &mut line.tier,
                    "reason" => &mut line.reason,
                    _ => continue,
                };
                label.value().clone_into(field);
            }
            lines.push(line);
        }
    }
    lines.sort_by(|a, b| b.refused.cmp(&a.refused).then_with(|| a.cmp(b)));
    lines
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}
