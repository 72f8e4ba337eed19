//! Certificates made for a test, and a client that looks at whatever it is shown.

use std::{net::SocketAddr, net::TcpStream, sync::Arc};

use ir::{Authorities, CertifiedKey};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    sign::SingleCertAndKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::configure::connect;

/// A self-signed certificate for these names, from the Secret `source`.
pub fn certificate(source: &str, names: &[&str]) -> Arc<CertifiedKey> {
    signed_by(source, names, &rcgen::KeyPair::generate().unwrap())
}

/// The same with a key of another algorithm.
pub fn signed_by(source: &str, names: &[&str], key: &rcgen::KeyPair) -> Arc<CertifiedKey> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::CertificateParams::new(names).unwrap().self_signed(key).unwrap();
    let parsed = CertifiedKey::from_pem(source, made.pem().as_bytes(), key.serialize_pem().as_bytes());
    Arc::new(parsed.unwrap())
}

/// What a client offers.
#[derive(Clone)]
pub struct Offer {
    pub alpn: Vec<&'static str>,
    pub versions: Vec<&'static SupportedProtocolVersion>,
    pub schemes: Vec<SignatureScheme>,
    /// What it shows a server that asks.
    pub own: Option<Arc<rustls::sign::CertifiedKey>>,
}

impl Default for Offer {
    fn default() -> Self {
        let schemes = aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes();
        Self { alpn: Vec::new(), versions: rustls::ALL_VERSIONS.to_vec(), schemes, own: None }
    }
}

impl Offer {
    pub fn alpn(names: &[&'static str]) -> Self {
        Self { alpn: names.to_vec(), ..Self::default() }
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(Anything { provider: Arc::clone(&provider), schemes: self.schemes.clone() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.own {
            None => config.with_no_client_auth(),
            Some(own) => {
                let own = rustls::sign::CertifiedKey::clone(own);
                config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
            }
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// A handshake to its end. `name`: an IP address sends no SNI.
    pub fn shake(&self, address: SocketAddr, name: &str) -> Result<Secured, Error> {
        self.shake_on(connect(address), name)
    }

    /// The same on a connection that is there.
    pub fn shake_on(&self, mut stream: TcpStream, name: &str) -> Result<Secured, Error> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut connection = ClientConnection::new(self.config(), name).unwrap();
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut stream) {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
                return Err(inner.cloned().unwrap_or_else(|| Error::General(error.to_string())));
            }
        }
        Ok(StreamOwned::new(connection, stream))
    }
}

/// A connection after its handshake.
pub type Secured = StreamOwned<ClientConnection, TcpStream>;

/// True if this is the certificate that the server has shown.
pub fn was_shown(secured: &Secured, certificate: &CertifiedKey) -> bool {
    secured.conn.peer_certificates().unwrap()[0] == certificate.rustls().cert[0]
}

/// Believes every certificate, and no signature that is not its key's.
#[derive(Debug)]
struct Anything {
    provider: Arc<CryptoProvider>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// An authority. All have one subject.
pub struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new([]).unwrap();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { pem, issuer: rcgen::Issuer::new(parameters, key) }
    }

    /// As a policy that trusts it has it.
    pub fn trusted(&self) -> Authorities {
        Authorities::from_pem("ConfigMap default/ca", self.pem.as_bytes()).unwrap()
    }

    /// Signs a certificate for these names; one with a scheme is a URI.
    pub fn signs(&self, names: &[&str]) -> Arc<CertifiedKey> {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new([]).unwrap();
        parameters.subject_alt_names = names
            .iter()
            .map(|name| match name.contains("://") {
                true => rcgen::SanType::URI((*name).try_into().unwrap()),
                false => rcgen::SanType::DnsName((*name).try_into().unwrap()),
            })
            .collect();
        let made = parameters.signed_by(&key, &self.issuer).unwrap();
        let parsed =
            CertifiedKey::from_pem("default/signed", made.pem().as_bytes(), key.serialize_pem().as_bytes());
        Arc::new(parsed.unwrap())
    }
}
