use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::{Serialize, Serializer};

/// Certificates of authorities, at least one: what another side's certificate must be traced back to. Several may
/// have one subject; each is tried. Compares by the certificates alone.
#[derive(Clone)]
pub struct Authorities {
    sources: Vec<Box<str>>,
    certificates: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
}

/// Why a text is no bundle of authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// There is no certificate in it.
    #[error("holds no PEM certificate")]
    Empty,
    /// A part of it is no PEM.
    #[error("holds no usable PEM: {0}")]
    Pem(String),
    /// A certificate cannot be an authority. Counted from 1.
    #[error("certificate {0} of it is not usable: {1}")]
    Certificate(usize, String),
}

impl Authorities {
    /// Parses a PEM bundle, of which every certificate must be usable. `source` names its object in messages:
    /// `ConfigMap namespace/name`.
    pub fn from_pem(source: &str, pem: &[u8]) -> Result<Self, AuthoritiesError> {
        let certificates = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| AuthoritiesError::Pem(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for (place, certificate) in certificates.iter().enumerate() {
            roots
                .add(certificate.clone())
                .map_err(|error| AuthoritiesError::Certificate(place + 1, error.to_string()))?;
        }
        Self::new(source, certificates, roots)
    }

    /// Takes what a system trusts; what is not usable of it is left out.
    pub fn of_system(
        source: &str,
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, AuthoritiesError> {
        let mut roots = RootCertStore::empty();
        let usable = certificates.into_iter().filter(|certificate| roots.add(certificate.clone()).is_ok());
        let usable = usable.collect();
        Self::new(source, usable, roots)
    }

    fn new(
        source: &str,
        certificates: Vec<CertificateDer<'static>>,
        roots: RootCertStore,
    ) -> Result<Self, AuthoritiesError> {
        if certificates.is_empty() {
            return Err(AuthoritiesError::Empty);
        }
        Ok(Self { sources: vec![source.into()], certificates, roots: Arc::new(roots) })
    }

    /// The authorities of both.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let mut roots = RootCertStore::clone(&self.roots);
        roots.extend(other.roots.roots.iter().cloned());
        Self {
            sources: [&*self.sources, &*other.sources].concat(),
            certificates: [&*self.certificates, &*other.certificates].concat(),
            roots: Arc::new(roots),
        }
    }

    /// Where they come from: `ConfigMap namespace/name`.
    pub fn sources(&self) -> &[Box<str>] {
        &self.sources
    }

    /// What rustls is given.
    pub const fn rustls(&self) -> &Arc<RootCertStore> {
        &self.roots
    }
}

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.certificates == other.certificates
    }
}

impl Eq for Authorities {}

impl Hash for Authorities {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.certificates.hash(state);
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorities")
            .field("sources", &self.sources)
            .field("certificates", &self.certificates.len())
            .finish_non_exhaustive()
    }
}

impl Serialize for Authorities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Public<'a> {
            sources: &'a [Box<str>],
            certificates: usize,
        }
        Public { sources: &self.sources, certificates: self.certificates.len() }.serialize(serializer)
    }
}
