use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ir::{UpstreamProtocol, UpstreamTls};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error,
    client::Resumption,
    crypto::aws_lc_rs,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::ServerName;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::{
    connect::{Target, UpstreamIo},
    verifier::{NameMismatch, Verifier},
};
use crate::{error::ProxyError, snapshot::Upstream};

/// TLS to one upstream.
pub(crate) struct ClientTls {
    name: ServerName<'static>,
    /// `None`: rustls takes none of the settings, so every handshake fails.
    connector: Option<TlsConnector>,
    /// A failure was told of at the level of warnings; of an upstream one in each configuration is enough.
    told: AtomicBool,
}

impl ClientTls {
    /// Builds what rustls is given.
    pub(crate) fn build(tls: &UpstreamTls, protocol: UpstreamProtocol) -> Self {
        let connector = match client_config(tls, protocol) {
            Ok(config) => Some(TlsConnector::from(Arc::new(config))),
            Err(error) => {
                tracing::warn!(%error, "TLS settings under which no handshake with a backend can succeed");
                None
            }
        };
        Self { name: tls.server_name.rustls(), connector, told: AtomicBool::new(false) }
    }

    /// The handshake on a new connection, which must end in time.
    pub(super) async fn shake(
        &self,
        io: UpstreamIo,
        until: Instant,
        upstream: &Upstream,
        target: Target<'_>,
    ) -> Result<UpstreamIo, ProxyError> {
        let connector =
            self.connector.as_ref().ok_or(ProxyError::UpstreamTls("its settings do not go together"))?;
        let shaken = timeout_at(until, connector.connect(self.name.clone(), io)).await;
        match shaken.unwrap_or(Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => {
                // In TLS, HTTP/2 is agreed on by ALPN and by nothing else (RFC 9113 §3.2).
                let is_http2 = upstream.config.protocol == UpstreamProtocol::H2c;
                if is_http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err(ProxyError::UpstreamTls("it does not agree on HTTP/2"));
                }
                Ok(UpstreamIo::Tls(Box::new(stream)))
            }
            Err(error) => {
                let name = &upstream.config.name;
                if self.told.swap(true, Ordering::Relaxed) {
                    tracing::debug!(upstream = %name, ?target, %error, "no TLS with a backend");
                } else {
                    tracing::warn!(upstream = %name, ?target, %error, "no TLS with a backend; told of once");
                }
                Err(ProxyError::UpstreamTls(reason(&error)))
            }
        }
    }
}

fn client_config(tls: &UpstreamTls, protocol: UpstreamProtocol) -> Result<ClientConfig, Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier::new(tls, provider.signature_verification_algorithms);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &tls.client_certificate {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let own = CertifiedKey::clone(own.rustls());
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
        }
    };
    let alpn: &[u8] = match protocol {
        UpstreamProtocol::Http1 => b"http/1.1",
        UpstreamProtocol::H2c => b"h2",
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    // Whoever is resumed is not looked at again.
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Why a handshake has failed.
fn reason(error: &io::Error) -> &'static str {
    failure(error).unwrap_or(match error.kind() {
        io::ErrorKind::TimedOut => "it takes too long",
        _ => "it closes the connection",
    })
}

/// What is wrong with TLS, in words that say who is at fault; the whole of it is in the log. `None`: nothing is, as
/// far as TLS goes.
pub(super) fn failure(error: &io::Error) -> Option<&'static str> {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>())?;
    Some(match tls {
        Error::InvalidCertificate(error) => certificate_reason(error),
        Error::NoCertificatesPresented => "it shows no certificate",
        Error::InvalidMessage(_) => "it does not speak TLS",
        Error::PeerIncompatible(_) => "no version or cipher suite of TLS is common to both",
        Error::AlertReceived(alert) => match alert {
            AlertDescription::UnrecognisedName => "it does not know the name that it is asked for",
            AlertDescription::NoApplicationProtocol => "it does not speak the protocol in TLS",
            AlertDescription::CertificateRequired => "it wants a certificate of ours",
            AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA => "it does not take our certificate",
            _ => "it ends it with an alert",
        },
        _ => "it does not keep to TLS",
    })
}

fn certificate_reason(error: &CertificateError) -> &'static str {
    match error {
        // An authority of the same subject with another key is another authority.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is of no authority that is trusted here"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate is for another name"
        }
        CertificateError::Other(other) if other.0.is::<NameMismatch>() => {
            "its certificate is for another name"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its certificate is not for servers"
        }
        _ => "its certificate is not valid",
    }
}
