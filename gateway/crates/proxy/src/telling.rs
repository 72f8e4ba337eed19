//! What is told of refused connections, whichever tier has refused them: a line in the access log, at a bounded pace,
//! and who is refused most.

mod lane;
mod sketch;
mod teller;
mod top;

use std::time::Instant;

use prometheus::IntCounter;

pub(crate) use lane::Lane;
pub use teller::{RefusedConnection, RefusedSources, Teller};
pub use top::TopSource;
pub(crate) use top::{Sighting, TopSources};

use crate::{
    access_log::{Fate, Unserved, Writer},
    refusal::Refusal,
};

/// What all workers tell of, and those who watch the kernel.
pub(crate) struct Telling {
    epoch: Instant,
    /// One for each reason and fate, so that a flood of one does not hide another.
    accept: [Lane; 2 * Refusal::ALL.len()],
    /// The kernel chooses what it tells of, at a pace of its own.
    kernel: Lane,
    told: IntCounter,
    not_told: IntCounter,
    /// Who is refused most.
    pub(crate) top: TopSources,
}

impl Telling {
    /// Nothing told yet. The counters are of the accept tier.
    pub(crate) fn new(told: IntCounter, not_told: IntCounter) -> Self {
        Self {
            epoch: Instant::now(),
            accept: std::array::from_fn(|_| Lane::default()),
            kernel: Lane::default(),
            told,
            not_told,
            top: TopSources::default(),
        }
    }

    /// Nanoseconds since its making.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Tells of a connection that user space has refused. `format`: that of the access log, if there is one.
    pub(crate) fn accept(
        &self,
        writer: &Writer,
        format: Option<ir::AccessLogFormat>,
        refusal: Refusal,
        mut unserved: Unserved<'_>,
    ) {
        let now = self.now();
        self.top.saw(&Sighting::of(&unserved), 1, now);
        let lane = &self.accept[unserved.fate.place() * Refusal::ALL.len() + refusal.place()];
        match format.filter(|_| writer.is_on()).zip(lane.tell(now)) {
            Some((format, not_told)) => {
                unserved.not_told = not_told;
                writer.refused(format, &unserved);
                self.told.inc();
            }
            None => self.not_told.inc(),
        }
    }

    /// Tells of a connection that the kernel has refused, which stands for so many that it has not told of. True:
    /// it has its line.
    pub(crate) fn kernel(
        &self,
        writer: &Writer,
        format: Option<ir::AccessLogFormat>,
        mut unserved: Unserved<'_>,
    ) -> bool {
        let now = self.now();
        self.top.saw(&Sighting::of(&unserved), unserved.not_told.saturating_add(1), now);
        match format.filter(|_| writer.is_on()).zip(self.kernel.tell_of(unserved.not_told, now)) {
            Some((format, not_told)) => {
                unserved.not_told = not_told;
                writer.refused(format, &unserved);
                true
            }
            None => false,
        }
    }
}

impl Fate {
    /// 0 or 1.
    const fn place(self) -> usize {
        match self {
            Self::Refused => 0,
            Self::WouldRefuse => 1,
        }
    }
}
