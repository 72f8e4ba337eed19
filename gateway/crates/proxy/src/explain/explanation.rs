use std::net::IpAddr;

use ir::{BindId, ListenerId, SocketKey};

use crate::slots::PolicyCheck;

/// What would become of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explanation {
    /// No listener's address is meant: nobody answers.
    NoListener {
        /// What comes closest; `None`: there is no listener at all.
        nearest: Option<Nearest>,
    },
    /// A listening socket is.
    Listener {
        /// Its address.
        socket: SocketKey,
        /// Its port.
        bind: BindId,
        /// The listeners that the connection may be for: one, or, where only a server name tells, each of them.
        paths: Vec<Path>,
    },
}

/// A listening socket that is not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Its address.
    pub socket: SocketKey,
    /// Its port.
    pub bind: BindId,
}

/// A connection's way to one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The listener; `None`: the server name falls under none.
    pub listener: Option<ListenerId>,
    /// The hostname that its server name must fall under, where it decides; `None`: any.
    pub hostname: Option<String>,
    /// Every check that was made, in order. The first refusal ends it.
    pub steps: Vec<Step>,
    /// True: a policy of the listener is no good, so that every request is answered 500.
    pub is_broken: bool,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When it is made.
    pub moment: Moment,
    /// What is checked, and what was found.
    pub check: Check,
    /// What comes of it.
    pub outcome: Outcome,
}

/// When a check is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// When the connection is accepted: its peer is known.
    Accept,
    /// When its PROXY header has been read, or was not there.
    Header,
    /// When its ClientHello has been read.
    ClientHello,
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// `maxConnections` of the Appliance.
    Global {
        /// Connections past accept, over all listeners.
        open: u64,
        /// How many may be.
        limit: u64,
    },
    /// What a connection policy asks.
    Policy(PolicyCheck),
    /// `connectionLimit` of the ClientTrafficPolicy.
    Connections {
        /// Connections of the listener.
        open: u64,
        /// How many may be; `None`: any number.
        limit: Option<u64>,
    },
    /// The PROXY header, or that there is none.
    Header {
        /// The source in it.
        source: Option<IpAddr>,
        /// What the listener does with one.
        reads: Reads,
    },
    /// The server name.
    ServerName,
}

/// What a listener does with PROXY headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// It reads none: what comes is taken for a request.
    Nothing,
    /// It reads one.
    Header {
        /// True: a connection may come without.
        optional: bool,
        /// True: this peer's header is believed.
        trusted: bool,
    },
}

/// What comes of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The connection goes on.
    Passes,
    /// It is refused, for this reason, as metrics and logs name it.
    Refused(&'static str),
    /// It would be, for this reason, and is let through: the policy is on a dry run.
    WouldRefuse(&'static str),
}

impl Path {
    /// Why it is refused, with the check; `None`: it is served.
    pub fn refusal(&self) -> Option<(&'static str, &Step)> {
        let last = self.steps.last()?;
        match last.outcome {
            Outcome::Refused(reason) => Some((reason, last)),
            Outcome::Passes | Outcome::WouldRefuse(_) => None,
        }
    }
}
