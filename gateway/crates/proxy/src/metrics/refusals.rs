use std::sync::Arc;

use ir::{ListenerId, PolicyName, PolicyNames};
use prometheus::proto;

use super::{
    Live,
    cells::Cells,
    series::Series,
    table::{CONNECTIONS_DRY_RUN, CONNECTIONS_REFUSED},
};
use crate::refusal::{Governor, Refusal, TIER};

/// The key of the series: a listener, and the policy that its refusals are counted under. `None`: those that no policy
/// has asked for.
pub(super) type RefusalLabels = (ListenerId, Option<PolicyName>);

/// Counts of a listener's refused connections under one policy.
pub(crate) struct RefusalMetrics {
    labels: RefusalLabels,
    /// Refused by reason, then what a dry run would have refused.
    cells: Cells<{ 2 * Refusal::ALL.len() }>,
}

/// Every count of one listener's refused connections: each reason has the policy that it comes from.
pub(crate) struct ListenerRefusals {
    nobody: Arc<RefusalMetrics>,
    client: Arc<RefusalMetrics>,
    connection: Arc<RefusalMetrics>,
}

impl ListenerRefusals {
    /// The handles of a listener and of its policies.
    pub(super) fn new(
        live: &Live<RefusalLabels, RefusalMetrics>,
        listener: &ListenerId,
        policies: &PolicyNames,
    ) -> Self {
        let of = |policy: Option<&PolicyName>| {
            let labels = (listener.clone(), policy.cloned());
            live.handle(labels.clone(), || RefusalMetrics { labels, cells: Cells::new() })
        };
        let PolicyNames { client, connection } = policies;
        Self { nobody: of(None), client: of(client.as_ref()), connection: of(connection.as_ref()) }
    }

    /// A connection was closed before its first request (`gateway_connections_refused_total`).
    pub(crate) fn refused(&self, refusal: Refusal) {
        self.under(refusal).count(0, refusal);
    }

    /// A connection would have been, but for a dry run (`gateway_connections_dry_run_refused_total`).
    pub(crate) fn would_refuse(&self, refusal: Refusal) {
        self.under(refusal).count(Refusal::ALL.len(), refusal);
    }

    /// The policy that refuses for this reason.
    pub(crate) fn policy(&self, refusal: Refusal) -> Option<&PolicyName> {
        self.under(refusal).labels.1.as_ref()
    }

    fn under(&self, refusal: Refusal) -> &RefusalMetrics {
        match refusal.governor() {
            Governor::Nobody => &self.nobody,
            Governor::Client => &self.client,
            Governor::Connection => &self.connection,
        }
    }
}

impl RefusalMetrics {
    fn count(&self, first: usize, refusal: Refusal) {
        self.cells.add(first + refusal.place(), 1);
    }
}

impl Series for RefusalMetrics {
    const FAMILIES: &[super::Family] = &[CONNECTIONS_REFUSED, CONNECTIONS_DRY_RUN];

    fn collect(&self, into: &mut [Vec<proto::Metric>]) {
        let (listener, policy) = &self.labels;
        let policy = policy.as_ref().map_or("", |policy| &policy.0);
        let firsts = [0, Refusal::ALL.len()];
        for ((first, family), series) in firsts.into_iter().zip(Self::FAMILIES).zip(into) {
            for refusal in Refusal::ALL {
                let count = self.cells.sum(first + refusal.place());
                if count > 0 {
                    series.push(family.series(&[&listener.0, TIER, refusal.reason(), policy], count));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;
    use crate::metrics::Metrics;

    fn names(client: &str, connection: &str) -> PolicyNames {
        let name = |name: &str| Some(PolicyName(name.into())).filter(|name| !name.0.is_empty());
        PolicyNames { client: name(client), connection: name(connection) }
    }

    #[test]
    fn each_reason_is_counted_under_the_policy_that_it_comes_from() {
        let metrics = Metrics::new();
        let listener = ListenerId("default/eg/web".into());
        let handles = metrics.refusals(&listener, &names("default/c", "default/s"));
        for refusal in [
            Refusal::OverConnectionLimit,
            Refusal::OverSourceLimit,
            Refusal::OverGlobalLimit,
            Refusal::ProxyUntrusted,
        ] {
            handles.refused(refusal);
        }
        handles.would_refuse(Refusal::SourceDenied);
        let page = TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap();
        let line = |family: &str, reason: &str, policy: &str| {
            let labels = format!(
                "listener=\"default/eg/web\",tier=\"accept\",reason=\"{reason}\",policy=\"{policy}\""
            );
            let line = format!("gateway_connections_{family}_total{{{labels}}} 1");
            assert!(page.contains(&line), "{line}\n{page}");
        };
        line("refused", "over_connection_limit", "default/c");
        line("refused", "over_source_limit", "default/s");
        line("refused", "over_global_limit", "");
        line("refused", "proxy_untrusted", "");
        line("dry_run_refused", "source_denied", "default/s");
    }

    #[test]
    fn policies_of_two_kinds_may_have_one_name_and_no_series_is_there_twice() {
        let metrics = Metrics::new();
        let listener = ListenerId("default/eg/web".into());
        let before = metrics.refusals(&listener, &names("default/x", "default/x"));
        let after = metrics.refusals(&listener, &names("default/y", "default/x"));
        for handles in [&before, &after] {
            handles.refused(Refusal::OverSourceLimit);
            handles.refused(Refusal::OverConnectionLimit);
        }
        let page = TextEncoder::new().encode_to_string(&metrics.registry().gather()).unwrap();
        let series: Vec<&str> = page.lines().filter(|line| line.contains("refused_total{")).collect();
        assert_eq!(series.len(), 3, "{page}");
        assert!(
            series.iter().any(|line| line.contains("over_source_limit") && line.ends_with(" 2")),
            "{page}"
        );
    }
}
