use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use rustls::{
    SupportedCipherSuite,
    crypto::aws_lc_rs::{self, cipher_suite},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use crate::{Authorities, Hostname};

/// TLS that ends at a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tls {
    /// At least one. The first whose name covers the SNI is shown, else the first.
    pub certificates: Vec<Arc<CertifiedKey>>,
    /// Lowest version (default 1.2).
    pub min: TlsVersion,
    /// Highest version (default 1.3).
    pub max: TlsVersion,
    /// Suites for TLS 1.2 and older; TLS 1.3 suites are always all offered.
    pub ciphers: CipherSuites,
    /// ALPN names in the order of preference; empty: ALPN is off.
    pub alpn: Vec<Box<str>>,
    /// Certificates that clients are asked for; `None`: none.
    pub client_validation: Option<ClientValidation>,
}

/// Who clients must be. Source: Gateway API's `spec.tls.frontend`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientValidation {
    /// One of them must have signed a client's certificate, or what did.
    pub authorities: Arc<Authorities>,
    /// What becomes of a client without such a certificate.
    pub mode: ClientValidationMode,
}

/// What becomes of a client without a certificate that is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum ClientValidationMode {
    /// Its handshake fails.
    #[default]
    AllowValidOnly,
    /// It is served all the same.
    AllowInsecureFallback,
}

/// A TLS version that rustls serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
pub enum TlsVersion {
    /// RFC 5246.
    #[serde(rename = "1.2")]
    V1_2,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    V1_3,
}

/// A certificate chain and its key, parsed and known to fit each other. Compares by chain and key; prints its
/// Secret, names and end of validity only.
#[derive(Clone)]
pub struct CertifiedKey {
    source: Arc<str>,
    names: Vec<Hostname>,
    not_after: i64,
    secret: Arc<PrivateKeyDer<'static>>,
    key: Arc<rustls::sign::CertifiedKey>,
}

/// Why a Secret is no certificate for a listener.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertifiedKeyError {
    /// `tls.crt` holds no PEM certificate.
    #[error("`tls.crt` holds no usable PEM certificate: {0}")]
    Certificate(String),
    /// `tls.key` holds no PEM key that we can sign with.
    #[error("`tls.key` holds no usable PEM private key: {0}")]
    Key(String),
    /// They are of different pairs.
    #[error("`tls.key` is not the key of the certificate in `tls.crt`")]
    Mismatch,
}

impl CertifiedKey {
    /// Parses a PEM chain (leaf first) and a PEM key (PKCS #8, PKCS #1 or SEC1). `source` names the Secret in
    /// messages: `namespace/name`.
    pub fn from_pem(source: &str, chain: &[u8], key: &[u8]) -> Result<Self, CertifiedKeyError> {
        let chain = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| CertifiedKeyError::Certificate(error.to_string()))?;
        let (names, not_after) = match chain.first() {
            Some(leaf) => leaf_facts(leaf).map_err(CertifiedKeyError::Certificate)?,
            None => return Err(CertifiedKeyError::Certificate("no BEGIN CERTIFICATE in it".to_owned())),
        };
        let secret =
            PrivateKeyDer::from_pem_slice(key).map_err(|error| CertifiedKeyError::Key(error.to_string()))?;
        let signing_key = aws_lc_rs::sign::any_supported_type(&secret)
            .map_err(|error| CertifiedKeyError::Key(error.to_string()))?;
        let certified = rustls::sign::CertifiedKey::new(chain, signing_key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(CertifiedKeyError::Mismatch),
        }
        Ok(Self {
            source: source.into(),
            names,
            not_after,
            secret: Arc::new(secret),
            key: Arc::new(certified),
        })
    }

    /// `namespace/name` of the Secret.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// DNS names of the leaf's subjectAltName, lower case.
    pub fn names(&self) -> &[Hostname] {
        &self.names
    }

    /// End of the leaf's validity, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// What rustls serves.
    pub fn rustls(&self) -> &Arc<rustls::sign::CertifiedKey> {
        &self.key
    }
}

fn leaf_facts(leaf: &CertificateDer<'_>) -> Result<(Vec<Hostname>, i64), String> {
    let (_, certificate) = parse_x509_certificate(leaf).map_err(|error| error.to_string())?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| error.to_string())?
        .into_iter()
        .flat_map(|san| &san.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => name.to_ascii_lowercase().parse().ok(),
            _ => None,
        })
        .collect();
    Ok((names, certificate.validity().not_after.timestamp()))
}

impl PartialEq for CertifiedKey {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.key.cert == other.key.cert && self.secret == other.secret
    }
}

impl Eq for CertifiedKey {}

impl Hash for CertifiedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The secret stays out of it: another one needs another certificate.
        (&self.source, &self.key.cert).hash(state);
    }
}

impl fmt::Debug for CertifiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertifiedKey")
            .field("source", &self.source)
            .field("names", &self.names)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Serialize for CertifiedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Public<'a> {
            source: &'a str,
            names: &'a [Hostname],
            not_after: i64,
        }
        Public { source: &self.source, names: &self.names, not_after: self.not_after }.serialize(serializer)
    }
}

/// Suites for TLS 1.2, by OpenSSL or IANA name, in the order of preference. Compares by what is offered.
#[derive(Clone, Debug, PartialEq)]
pub struct CipherSuites(Vec<SupportedCipherSuite>);

impl Eq for CipherSuites {}

/// OpenSSL name, IANA name, and the suite where rustls has it.
const CIPHERS: [(&str, &str, Option<SupportedCipherSuite>); 14] = {
    use cipher_suite as suite;
    [
        (
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
            Some(suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ),
        (
            "ECDHE-RSA-AES128-GCM-SHA256",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            Some(suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        ),
        (
            "ECDHE-ECDSA-AES256-GCM-SHA384",
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
            Some(suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ),
        (
            "ECDHE-RSA-AES256-GCM-SHA384",
            "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
            Some(suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        ),
        (
            "ECDHE-ECDSA-CHACHA20-POLY1305",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
            Some(suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ),
        (
            "ECDHE-RSA-CHACHA20-POLY1305",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            Some(suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        ),
        ("ECDHE-ECDSA-AES128-SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", None),
        ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", None),
        ("ECDHE-ECDSA-AES256-SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", None),
        ("ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", None),
        ("AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256", None),
        ("AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384", None),
        ("AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA", None),
        ("AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA", None),
    ]
};

/// What a cipher's name turned out to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CipherName {
    /// Served.
    Served(SupportedCipherSuite),
    /// Known to Envoy Gateway, but without forward secrecy or in CBC mode: rustls has no such suite.
    Unserved,
    /// No name that Envoy Gateway knows.
    Unknown,
}

impl CipherSuites {
    /// Every name that Envoy Gateway accepts in OpenSSL's spelling, served or not.
    pub fn known_names() -> impl Iterator<Item = &'static str> {
        CIPHERS.iter().map(|(openssl, ..)| *openssl)
    }

    /// Looks a name up, in either spelling.
    pub fn lookup(name: &str) -> CipherName {
        match CIPHERS.iter().find(|(openssl, iana, _)| name == *openssl || name == *iana) {
            Some((.., Some(suite))) => CipherName::Served(*suite),
            Some((.., None)) => CipherName::Unserved,
            None => CipherName::Unknown,
        }
    }

    /// These suites, in this order.
    pub fn new(suites: Vec<SupportedCipherSuite>) -> Self {
        Self(suites)
    }

    /// What rustls is given for TLS 1.2.
    pub fn suites(&self) -> &[SupportedCipherSuite] {
        &self.0
    }
}

impl Default for CipherSuites {
    /// All that rustls has, in Envoy's order of families: AES-128 and ChaCha20, then AES-256.
    fn default() -> Self {
        let served = |name: &str| match Self::lookup(name) {
            CipherName::Served(suite) => Some(suite),
            CipherName::Unserved | CipherName::Unknown => None,
        };
        Self(
            [
                "ECDHE-ECDSA-AES128-GCM-SHA256",
                "ECDHE-ECDSA-CHACHA20-POLY1305",
                "ECDHE-RSA-AES128-GCM-SHA256",
                "ECDHE-RSA-CHACHA20-POLY1305",
                "ECDHE-ECDSA-AES256-GCM-SHA384",
                "ECDHE-RSA-AES256-GCM-SHA384",
            ]
            .into_iter()
            .filter_map(served)
            .collect(),
        )
    }
}

impl Serialize for CipherSuites {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|suite| format!("{:?}", suite.suite())))
    }
}
