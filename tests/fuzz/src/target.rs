//! What can be fuzzed.

use crate::targets::{h1_request, h1_response, judge, proxy_protocol, tlvs};

/// A parser with its invariants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Requests of HTTP/1: heads, bodies, and heads written again.
    H1Request,
    /// Responses of HTTP/1, likewise.
    H1Response,
    /// The PROXY protocol's automaton, versions 1 and 2.
    ProxyProtocol,
    /// What a header of version 2 says beside addresses.
    Tlvs,
    /// Frames at the kernel's door: their headers, what is decided, and the answer.
    Judge,
}

impl Target {
    /// The target of that name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::H1Request, Self::H1Response, Self::ProxyProtocol, Self::Tlvs, Self::Judge]
            .into_iter()
            .find(|target| target.name() == name)
    }

    /// Its name, which is that of its corpus too.
    pub fn name(self) -> &'static str {
        match self {
            Self::H1Request => "h1_request",
            Self::H1Response => "h1_response",
            Self::ProxyProtocol => "proxy_protocol",
            Self::Tlvs => "tlvs",
            Self::Judge => "judge",
        }
    }

    /// Words of its grammar.
    pub fn dictionary(self) -> &'static [&'static [u8]] {
        match self {
            Self::H1Request => h1_request::DICTIONARY,
            Self::H1Response => h1_response::DICTIONARY,
            Self::ProxyProtocol => proxy_protocol::DICTIONARY,
            Self::Tlvs => tlvs::DICTIONARY,
            Self::Judge => judge::DICTIONARY,
        }
    }

    /// Tries one input. Panics if an invariant does not hold; else says how it was answered, alike for inputs that
    /// took the same way.
    pub fn check(self, input: &[u8]) -> String {
        match self {
            Self::H1Request => h1_request::check(input),
            Self::H1Response => h1_response::check(input),
            Self::ProxyProtocol => proxy_protocol::check(input),
            Self::Tlvs => tlvs::check(input),
            Self::Judge => judge::check(input),
        }
    }
}
