use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{StatusCode, request::Parts};
use ir::{BindId, Hostname, HttpMatch, HttpRule, ListenerId, SocketKey, Upstream};

use super::Nearest;

/// A request that somebody wants to know of.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who would send it: forwarding fields, which rules may go by, say so.
    pub peer: SocketAddr,
    /// The address that it comes to; `None`: each port of that number is looked at.
    pub address: Option<IpAddr>,
    /// The port that it comes to.
    pub port: u16,
    /// True: in TLS.
    pub tls: bool,
    /// The server name of its handshake, lower case; `None`: none is sent.
    pub server_name: Option<String>,
    /// As an HTTP/1 client sends it.
    pub head: Parts,
}

/// What would become of a request.
#[derive(Clone, Debug)]
pub enum RequestExplanation {
    /// No listener's address is meant: nobody answers.
    NoListener {
        /// What comes closest; `None`: there is no listener at all.
        nearest: Option<Nearest>,
    },
    /// Its course on each port that may be meant: one, unless no address was asked for.
    Courses(Vec<Course>),
}

/// A request's way on one port.
#[derive(Clone, Debug)]
pub struct Course {
    /// The listening socket.
    pub socket: SocketKey,
    /// The port.
    pub bind: BindId,
    /// The listener; `None`: no one's hostname covers the host.
    pub listener: Option<ListenerId>,
    /// The path and query that rules see, once it is normal; `None`: it is not.
    pub target: Option<String>,
    /// The name by which listener and hostname are chosen.
    pub host: Option<String>,
    /// The match that it falls under; `None`: none, or it is answered before.
    pub found: Option<Candidate>,
    /// With a match: those of other rules that go before it and fail by one condition. Without: those that come closest.
    pub near: Vec<Candidate>,
    /// The next match of another rule that would have it, were it not for the one found.
    pub next: Option<Candidate>,
    /// How it ends.
    pub ending: Ending,
}

/// A match of a rule.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Whose rule it is.
    pub listener: ListenerId,
    /// Under which hostname; `None`: any.
    pub hostname: Option<Hostname>,
    /// The rule.
    pub rule: Arc<HttpRule>,
    /// Which of the rule's matches, from 0.
    pub place: usize,
    /// What it asks for.
    pub matches: HttpMatch,
    /// In what the request is not as it asks; none: in nothing.
    pub misses: Vec<Miss>,
}

/// In what a request is not as a match asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The listener's or the route's hostname does not cover the request's.
    Host,
    /// It does, and a more specific one has the request for itself.
    LessSpecificHost,
    /// The path.
    Path,
    /// The method; TRACE and CONNECT are served only where they are named.
    Method,
    /// A header, by its place in the match.
    Header(usize),
    /// A query parameter, likewise.
    Query(usize),
}

/// How a request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// No request can be made there: the port speaks something else, or the handshake is refused.
    NoExchange(&'static str),
    /// Refused with this status, and why.
    Refused(StatusCode, String),
    /// The client is sent elsewhere.
    Redirected(StatusCode, String),
    /// A preflight request is answered here.
    Preflight(StatusCode),
    /// Answered here.
    Responds(StatusCode),
    /// Goes to one of these.
    Forwarded(Vec<Chance>),
}

/// One of the backends that a request may go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chance {
    /// Which of `backendRefs`, from 0.
    pub place: usize,
    /// Its share, over the sum of all.
    pub weight: u32,
    /// Who it is; `None`: the reference does not resolve, and the answer is 500.
    pub upstream: Option<Arc<Upstream>>,
    /// What it is asked; or why it is not.
    pub asked: Result<Asked, String>,
}

/// What a backend is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The host.
    pub host: Option<String>,
    /// Path and query.
    pub target: String,
}

impl Ending {
    /// What the client is answered, if that is known before a backend is asked.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(status, _) | Self::Redirected(status, _) => Some(*status),
            Self::Preflight(status) | Self::Responds(status) => Some(*status),
            Self::NoExchange(_) | Self::Forwarded(_) => None,
        }
    }
}
