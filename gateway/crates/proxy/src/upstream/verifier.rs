use std::sync::Arc;

use ir::{SubjectAltName, UpstreamTls};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, DnsName, ServerName, UnixTime};
use webpki::EndEntityCert;

/// Judges a backend's certificate: by webpki whether an authority of ours stands behind it, and by the names that the
/// policy wants. rustls has no verifier that looks for other names than the one that is asked for, nor for URIs.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: Arc<RootCertStore>,
    /// Empty: the name that is asked for.
    names: Vec<SubjectAltName>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The certificate has none of the names that are wanted.
#[derive(Debug, thiserror::Error)]
#[error("the certificate has none of the names {wanted}; it has {found}")]
pub(super) struct NameMismatch {
    wanted: String,
    found: String,
}

impl Verifier {
    /// For one upstream.
    pub(super) fn new(tls: &UpstreamTls, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { roots: Arc::clone(tls.authorities.rustls()), names: tls.names.clone(), algorithms }
    }

    fn verify_names(
        &self,
        leaf: &CertificateDer<'_>,
        parsed: &ParsedCertificate<'_>,
        asked: &ServerName<'_>,
    ) -> Result<(), Error> {
        if self.names.is_empty() {
            return verify_server_name(parsed, asked);
        }
        let names = EndEntityCert::try_from(leaf).map_err(|_| CertificateError::BadEncoding)?;
        if self.names.iter().any(|wanted| has_name(&names, parsed, wanted)) {
            return Ok(());
        }
        let found: Vec<&str> = names.valid_dns_names().chain(names.valid_uri_names()).collect();
        let wanted: Vec<String> = self.names.iter().map(ToString::to_string).collect();
        let mismatch = NameMismatch {
            wanted: wanted.join(", "),
            found: if found.is_empty() { "none".to_owned() } else { found.join(", ") },
        };
        Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into())
    }
}

fn has_name(names: &EndEntityCert<'_>, parsed: &ParsedCertificate<'_>, wanted: &SubjectAltName) -> bool {
    match wanted {
        SubjectAltName::Uri(uri) => names.valid_uri_names().any(|found| found == &**uri),
        SubjectAltName::Hostname(wanted) if wanted.wildcard_suffix().is_some() => {
            names.valid_dns_names().any(|found| {
                let found = found.to_ascii_lowercase();
                found == wanted.as_str() || (!found.starts_with('*') && wanted.matches(&found))
            })
        }
        SubjectAltName::Hostname(wanted) => DnsName::try_from(wanted.as_str())
            .is_ok_and(|name| verify_server_name(parsed, &ServerName::DnsName(name)).is_ok()),
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        self.verify_names(end_entity, &parsed, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
