use ir::{ListenerId, PolicyName};
use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto,
};

use super::{
    Family, register,
    table::{
        CONNECTIONS_REFUSED, KERNEL_CONNECTIONS_OPEN, KERNEL_DEGRADED, KERNEL_SOURCES_EVICTED, KERNEL_TIER,
        KERNEL_UNANSWERED, KERNEL_UNREAD, REFUSALS_TOLD,
    },
};

/// What the kernel half has counted, when somebody reads.
#[derive(Clone, Debug, Default)]
pub struct KernelReading {
    /// Connections refused, by listener, tier, reason and policy.
    pub refused: Vec<KernelRefusals>,
    /// Refused connections by what the access log says of them: `told`, `not_told`, `lost`.
    pub told: Vec<(&'static str, u64)>,
    /// Those of them whose senders got no answer though they should have had one, by listener and tier.
    pub unanswered: Vec<(ListenerId, &'static str, u64)>,
    /// Connections whose source's count had made room for another one's when they ended.
    pub sources_evicted: u64,
    /// Open connections, by listener.
    pub open: Vec<(ListenerId, u64)>,
    /// Frames let through unjudged, by reason.
    pub unread: Vec<(&'static str, u64)>,
    /// What enforces limits on each interface.
    pub tiers: Vec<(String, &'static str)>,
    /// What does less than it could: the interface, or nothing for all of it, and the reason in a word.
    pub degraded: Vec<(String, &'static str)>,
}

/// Connections that the kernel half has refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRefusals {
    /// Whose they would have been.
    pub listener: ListenerId,
    /// `xdp` or `tc`.
    pub tier: &'static str,
    /// Why.
    pub reason: &'static str,
    /// By whose wish; `None`: no policy's.
    pub policy: Option<PolicyName>,
    /// How many.
    pub total: u64,
}

/// Metrics about the kernel half, for whoever runs it. Its refusals join those of user space under one name.
pub struct KernelMetrics {
    read: Box<dyn Fn() -> KernelReading + Send + Sync>,
    descs: Vec<Desc>,
}

impl KernelMetrics {
    /// Registers them; `read` is called whenever the registry is read. At most once per registry.
    pub fn register(registry: &Registry, read: impl Fn() -> KernelReading + Send + Sync + 'static) {
        // A name is registered once; what is collected under it may come from several places.
        let families = [
            KERNEL_CONNECTIONS_OPEN,
            KERNEL_DEGRADED,
            KERNEL_SOURCES_EVICTED,
            KERNEL_TIER,
            KERNEL_UNANSWERED,
            KERNEL_UNREAD,
        ];
        let descs = families.iter().map(Family::desc).collect();
        register(registry, Self { read: Box::new(read), descs });
    }
}

impl Collector for KernelMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let KernelReading { refused, told, unanswered, sources_evicted, open, unread, tiers, degraded } =
            (self.read)();
        let refused = refused.iter().map(|KernelRefusals { listener, tier, reason, policy, total }| {
            let policy = policy.as_ref().map_or("", |policy| &policy.0);
            CONNECTIONS_REFUSED.series(&[&listener.0, tier, reason, policy], *total)
        });
        let told = told.iter().map(|(outcome, count)| REFUSALS_TOLD.series(&["kernel", outcome], *count));
        let unanswered = unanswered
            .iter()
            .map(|(listener, tier, count)| KERNEL_UNANSWERED.series(&[&listener.0, tier], *count));
        let open =
            open.iter().map(|(listener, count)| KERNEL_CONNECTIONS_OPEN.series(&[&listener.0], *count));
        let unread = unread.iter().map(|(reason, count)| KERNEL_UNREAD.series(&[reason], *count));
        let tiers = tiers.iter().map(|(interface, tier)| KERNEL_TIER.series(&[interface, tier], 1));
        let degraded = degraded
            .iter()
            .map(|(interface, reason)| KERNEL_DEGRADED.series(&[interface, reason], 1))
            .collect();
        vec![
            KERNEL_DEGRADED.gathered(degraded),
            CONNECTIONS_REFUSED.gathered(refused.collect()),
            REFUSALS_TOLD.gathered(told.collect()),
            KERNEL_CONNECTIONS_OPEN.gathered(open.collect()),
            KERNEL_SOURCES_EVICTED.gathered(vec![KERNEL_SOURCES_EVICTED.series(&[], sources_evicted)]),
            KERNEL_UNANSWERED.gathered(unanswered.collect()),
            KERNEL_UNREAD.gathered(unread.collect()),
            KERNEL_TIER.gathered(tiers.collect()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use ir::PolicyNames;
    use prometheus::TextEncoder;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn refusals_of_both_halves_are_one_family() {
        let metrics = Metrics::new();
        let listener = ListenerId("default/eg/web".into());
        let handles = metrics.refusals(&listener, &PolicyNames::default());
        handles.refused(crate::refusal::Refusal::OverConnectionLimit);
        let refused = vec![KernelRefusals {
            listener: listener.clone(),
            tier: "xdp",
            reason: "over_connection_limit",
            policy: Some(PolicyName("default/limits".into())),
            total: 7,
        }];
        let reading = KernelReading {
            refused,
            told: vec![("told", 5), ("lost", 2)],
            open: vec![(listener, 3)],
            unread: vec![("fragment", 2)],
            tiers: vec![("eth0".to_owned(), "xdp")],
            ..KernelReading::default()
        };
        let _accept = metrics.telling();
        KernelMetrics::register(metrics.registry(), move || reading.clone());
        let page = TextEncoder::new().encode_to_string(&metrics.registry().gather()).expect("text");
        let lines: Vec<&str> = page.lines().filter(|line| line.contains("refused_total")).collect();
        assert_eq!(lines.iter().filter(|line| line.starts_with("# TYPE")).count(), 1, "{page}");
        for (tier, count) in [("accept", " 1"), ("xdp", " 7")] {
            let tier = format!("tier=\"{tier}\"");
            assert!(lines.iter().any(|line| line.contains(&tier) && line.ends_with(count)), "{page}");
        }
        assert!(page.contains("reason=\"over_connection_limit\",policy=\"default/limits\"} 7"), "{page}");
        assert!(page.contains("gateway_refusals_told_total{tier=\"kernel\",outcome=\"lost\"} 2"), "{page}");
        assert_eq!(page.matches("# TYPE gateway_refusals_told_total").count(), 1, "{page}");
        assert!(page.contains("gateway_kernel_tier{interface=\"eth0\",tier=\"xdp\"} 1"), "{page}");
        assert!(page.contains("gateway_kernel_connections_open{listener=\"default/eg/web\"} 3"), "{page}");
    }
}
