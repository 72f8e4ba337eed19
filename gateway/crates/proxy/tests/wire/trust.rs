//! Certificates made for a test, and a client that looks at whatever it is shown.

use std::{net::SocketAddr, net::TcpStream, sync::Arc};

use ir::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
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
}

impl Default for Offer {
    fn default() -> Self {
        let schemes = aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes();
        Self { alpn: Vec::new(), versions: rustls::ALL_VERSIONS.to_vec(), schemes }
    }
}

impl Offer {
    pub fn alpn(names: &[&'static str]) -> Self {
        Self { alpn: names.to_vec(), ..Self::default() }
    }

    pub fn config(&self) -> Arc<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(Anything { provider: Arc::clone(&provider), schemes: self.schemes.clone() });
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
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
