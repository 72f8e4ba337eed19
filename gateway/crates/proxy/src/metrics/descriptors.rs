use nix::sys::resource::{Resource, getrlimit};
use prometheus::{
    core::{Collector, Desc},
    proto,
};

use super::table::DESCRIPTORS;

/// Counts the descriptors of the process when somebody reads.
pub(super) struct DescriptorCollector(Desc);

impl DescriptorCollector {
    pub(super) fn new() -> Self {
        Self(DESCRIPTORS.desc())
    }
}

impl Collector for DescriptorCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut series = Vec::new();
        if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
            // One of them is the directory that is being read.
            let open = entries.count().saturating_sub(1) as u64;
            series.push(DESCRIPTORS.series(&["open"], open));
        }
        if let Ok((soft, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
            series.push(DESCRIPTORS.series(&["limit"], soft));
        }
        vec![DESCRIPTORS.gathered(series)]
    }
}
