/// Why a connection was closed before its first request. Counted in `gateway_connections_refused_total` and
/// written to the access log, once each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    /// The listener has as many connections as its `connectionLimit` allows.
    OverConnectionLimit,
    /// The process has as many connections as `Appliance.maxConnections` allows.
    OverGlobalLimit,
    /// The source is in the `deny` list of the listener's ConnectionPolicy.
    SourceDenied,
    /// The listener's ConnectionPolicy has an `allow` list, and the source is not in it.
    SourceNotAllowed,
    /// The source has as many connections as the listener's ConnectionPolicy allows it.
    OverSourceLimit,
    /// The source's network has as many connections as the listener's ConnectionPolicy allows it.
    OverPrefixLimit,
    /// The source opens connections faster than the listener's ConnectionPolicy allows it.
    OverSourceRate,
    /// Connections come faster than the listener's ConnectionPolicy allows.
    OverListenerRate,
    /// A PROXY header from a peer that is no trusted sender.
    ProxyUntrusted,
    /// Bytes that begin like a PROXY header and are none.
    ProxyMalformed,
    /// A PROXY header that is not the one that the kernel has seen.
    ProxyMismatch,
    /// No PROXY header where one is required.
    ProxyMissing,
    /// The SNI (or its absence) falls under no listener of the port.
    TlsNoListener,
    /// Bytes that are no TLS ClientHello.
    TlsMalformed,
    /// No version, cipher suite, group or signature scheme in common.
    TlsIncompatible,
    /// The handshake failed in any other way: an alert of the client's, a message that does not verify.
    TlsHandshake,
    /// PROXY header, TLS handshake or HTTP/2 preface not complete within 10 s.
    Timeout,
    /// The client went away before its first request was begun, within PROXY header or TLS handshake.
    Aborted,
}

impl Refusal {
    /// Every reason, for building metric handles ahead.
    pub(crate) const ALL: [Self; 18] = [
        Self::OverConnectionLimit,
        Self::OverGlobalLimit,
        Self::SourceDenied,
        Self::SourceNotAllowed,
        Self::OverSourceLimit,
        Self::OverPrefixLimit,
        Self::OverSourceRate,
        Self::OverListenerRate,
        Self::ProxyUntrusted,
        Self::ProxyMalformed,
        Self::ProxyMismatch,
        Self::ProxyMissing,
        Self::TlsNoListener,
        Self::TlsMalformed,
        Self::TlsIncompatible,
        Self::TlsHandshake,
        Self::Timeout,
        Self::Aborted,
    ];

    /// The text in the metric's label `reason` and in the log.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::OverConnectionLimit => "over_connection_limit",
            Self::OverGlobalLimit => "over_global_limit",
            Self::SourceDenied => "source_denied",
            Self::SourceNotAllowed => "source_not_allowed",
            Self::OverSourceLimit => "over_source_limit",
            Self::OverPrefixLimit => "over_prefix_limit",
            Self::OverSourceRate => "over_source_rate",
            Self::OverListenerRate => "over_listener_rate",
            Self::ProxyUntrusted => "proxy_untrusted",
            Self::ProxyMalformed => "proxy_malformed",
            Self::ProxyMismatch => "proxy_mismatch",
            Self::ProxyMissing => "proxy_missing",
            Self::TlsNoListener => "tls_no_listener",
            Self::TlsMalformed => "tls_malformed",
            Self::TlsIncompatible => "tls_incompatible",
            Self::TlsHandshake => "tls_handshake",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
        }
    }
}
