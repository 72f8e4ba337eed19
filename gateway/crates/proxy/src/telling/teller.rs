use std::{net::SocketAddr, sync::Arc};

use ir::{AccessLogFormat, ListenerId, PolicyName};

use super::TopSource;
use crate::{
    access_log::{Fate, Unserved, Writer},
    carry::Carry,
    sources::{Proxied, Source},
};

/// The way for those who refuse elsewhere than in the proxy to tell of it. To be dropped before the process ends: the
/// last lines of the access log are waited for once nobody can write more.
#[derive(Clone)]
pub struct Teller {
    carry: Arc<Carry>,
    writer: Writer,
}

/// Who is refused most, for those who ask. To be used from any thread.
#[derive(Clone)]
pub struct RefusedSources(Arc<Carry>);

/// A connection that a tier before accept has refused.
#[derive(Clone, Copy, Debug)]
pub struct RefusedConnection<'a> {
    /// Whose connection it would have been.
    pub listener: &'a ListenerId,
    /// `tc` or `xdp`.
    pub tier: &'static str,
    /// As the metric's label has it.
    pub reason: &'static str,
    /// By whose wish; `None`: no policy's.
    pub policy: Option<&'a PolicyName>,
    /// Who has called.
    pub peer: SocketAddr,
    /// Where.
    pub local: SocketAddr,
    /// Source and destination in its PROXY header, where that was read.
    pub proxied: Option<(SocketAddr, SocketAddr)>,
    /// How many were refused since the last that was told of, and are not told of.
    pub not_told: u64,
}

impl Teller {
    /// Of this proxy.
    pub(crate) fn new(carry: &Arc<Carry>, writer: &Writer) -> Self {
        Self { carry: Arc::clone(carry), writer: writer.clone() }
    }

    /// Tells of one: its line, if lines are written and this one is not one too many, and its source. True: it has its
    /// line. `format`: `None` where there is no access log.
    pub fn tell(&self, format: Option<AccessLogFormat>, refused: &RefusedConnection<'_>) -> bool {
        let RefusedConnection { listener, tier, reason, policy, peer, local, proxied, not_told } = *refused;
        let proxied = proxied.map(|(source, destination)| Proxied { source, destination });
        let source = Source { peer, local, proxied };
        let unserved =
            Unserved { fate: Fate::Refused, reason, tier, listener, policy, source: &source, not_told };
        self.carry.telling.kernel(&self.writer, format, unserved)
    }
}

impl RefusedSources {
    /// Of this proxy.
    pub(crate) fn new(carry: &Arc<Carry>) -> Self {
        Self(Arc::clone(carry))
    }

    /// The `most` rows with the most refused connections, over the last 10 to 20 minutes.
    pub fn top(&self, most: usize) -> Vec<TopSource> {
        let telling = &self.0.telling;
        telling.top.top(most, telling.now())
    }
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for RefusedSources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefusedSources").finish_non_exhaustive()
    }
}
