use ir::{ListenerId, PolicyName};

use crate::sources::Source;

/// What the line of a refused connection tells, whichever tier has refused it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unserved<'a> {
    /// What has become of it.
    pub(crate) fate: Fate,
    /// Why.
    pub(crate) reason: &'static str,
    /// Where: `accept`, `tc`, `xdp`.
    pub(crate) tier: &'static str,
    /// Whose connection it would have been; the port's first where that is not known yet.
    pub(crate) listener: &'a ListenerId,
    /// By whose wish; `None`: no policy's.
    pub(crate) policy: Option<&'a PolicyName>,
    /// Who has called.
    pub(crate) source: &'a Source,
    /// Refused connections without a line of their own since the last line that is like this one.
    pub(crate) not_told: u64,
}

/// What has become of a connection that a policy refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is closed.
    Refused,
    /// It is served, since the policy is on a dry run.
    WouldRefuse,
}

impl Fate {
    /// Its word in a line.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::WouldRefuse => "would_refuse",
        }
    }
}
