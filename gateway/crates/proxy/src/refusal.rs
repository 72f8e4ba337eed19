/// Where user space refuses, as metrics and logs name it; the kernel's tiers are `xdp` and `tc`.
pub(crate) const TIER: &str = "accept";

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
    /// The client has no certificate, or none that is valid, where its port asks for one.
    TlsClientCertificate,
    /// The handshake failed in any other way: an alert of the client's, a message that does not verify.
    TlsHandshake,
    /// PROXY header, TLS handshake or HTTP/2 preface not complete within 10 s.
    Timeout,
    /// The client went away before its first request was begun, within PROXY header or TLS handshake.
    Aborted,
}

/// Which kind of policy asks that a connection be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Governor {
    /// None: the connection itself is at fault, or the process is full.
    Nobody,
    /// The listener's ClientTrafficPolicy.
    Client,
    /// The listener's ConnectionPolicy.
    Connection,
}

impl Refusal {
    /// Every reason, for building metric handles ahead.
    pub(crate) const ALL: [Self; 19] = [
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
        Self::TlsClientCertificate,
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
            Self::TlsClientCertificate => "tls_client_certificate",
            Self::TlsHandshake => "tls_handshake",
            Self::Timeout => "timeout",
            Self::Aborted => "aborted",
        }
    }
    /// Its place among [`Refusal::ALL`].
    pub(crate) const fn place(self) -> usize {
        self as usize
    }

    /// Who asks for it.
    pub(crate) const fn governor(self) -> Governor {
        match self {
            Self::OverConnectionLimit => Governor::Client,
            Self::SourceDenied
            | Self::SourceNotAllowed
            | Self::OverSourceLimit
            | Self::OverPrefixLimit
            | Self::OverSourceRate
            | Self::OverListenerRate => Governor::Connection,
            Self::OverGlobalLimit
            | Self::ProxyUntrusted
            | Self::ProxyMalformed
            | Self::ProxyMismatch
            | Self::ProxyMissing
            | Self::TlsNoListener
            | Self::TlsMalformed
            | Self::TlsIncompatible
            | Self::TlsClientCertificate
            | Self::TlsHandshake
            | Self::Timeout
            | Self::Aborted => Governor::Nobody,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_place_and_a_name_of_its_own() {
        for (place, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal.place(), place, "{refusal:?}");
        }
        let names: std::collections::BTreeSet<&str> = Refusal::ALL.map(Refusal::reason).into();
        assert_eq!(names.len(), Refusal::ALL.len());
    }
}
