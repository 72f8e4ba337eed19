use ir::ListenerId;
use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto,
};

use super::{
    Family, register,
    table::{
        CONNECTIONS_REFUSED, KERNEL_CONNECTIONS_OPEN, KERNEL_DEGRADED, KERNEL_SOURCES_EVICTED, KERNEL_TIER,
        KERNEL_UNANSWERED, KERNEL_UNREAD,
    },
};

/// What the kernel half has counted, when somebody reads.
#[derive(Clone, Debug, Default)]
pub struct KernelReading {
    /// Connections refused, by listener, tier and reason.
    pub refused: Vec<(ListenerId, &'static str, &'static str, u64)>,
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
        let KernelReading { refused, unanswered, sources_evicted, open, unread, tiers, degraded } =
            (self.read)();
        let refused = refused.iter().map(|(listener, tier, reason, count)| {
            CONNECTIONS_REFUSED.series(&[&listener.0, tier, reason], *count)
        });
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
    use prometheus::TextEncoder;

    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn refusals_of_both_halves_are_one_family() {
        let metrics = Metrics::new();
        let listener = ListenerId("default/eg/web".into());
        let handles = metrics.listener(&listener);
        handles.refused(crate::refusal::Refusal::OverConnectionLimit);
        let refused = vec![(listener.clone(), "xdp", "over_connection_limit", 7)];
        let tiers = vec![("eth0".to_owned(), "xdp")];
        let reading = KernelReading {
            refused,
            open: vec![(listener, 3)],
            unread: vec![("fragment", 2)],
            tiers,
            ..KernelReading::default()
        };
        KernelMetrics::register(metrics.registry(), move || reading.clone());
        let page = TextEncoder::new().encode_to_string(&metrics.registry().gather()).expect("text");
        let lines: Vec<&str> = page.lines().filter(|line| line.contains("refused_total")).collect();
        assert_eq!(lines.iter().filter(|line| line.starts_with("# TYPE")).count(), 1, "{page}");
        for (tier, count) in [("accept", " 1"), ("xdp", " 7")] {
            let tier = format!("tier=\"{tier}\"");
            assert!(lines.iter().any(|line| line.contains(&tier) && line.ends_with(count)), "{page}");
        }
        assert!(page.contains("gateway_kernel_tier{interface=\"eth0\",tier=\"xdp\"} 1"), "{page}");
        assert!(page.contains("gateway_kernel_connections_open{listener=\"default/eg/web\"} 3"), "{page}");
    }
}
