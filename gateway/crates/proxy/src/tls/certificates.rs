use std::{collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// Chooses a listener's certificate by SNI: one that names it, else one with a wildcard in the place of its
/// first label, else the first. Of several that fit equally, the first whose key can sign what the client
/// verifies (ECDSA beside RSA).
#[derive(Debug)]
pub(super) struct Certificates {
    all: Vec<Arc<CertifiedKey>>,
    /// Lower-case names, wildcards with their `*.`, to places in `all`.
    by_name: HashMap<Box<str>, Vec<usize>>,
}

impl Certificates {
    pub(super) fn new(certificates: &[Arc<ir::CertifiedKey>]) -> Self {
        let mut by_name: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (place, certificate) in certificates.iter().enumerate() {
            for name in certificate.names() {
                by_name.entry(name.as_str().into()).or_default().push(place);
            }
        }
        Self {
            all: certificates.iter().map(|certificate| Arc::clone(certificate.rustls())).collect(),
            by_name,
        }
    }

    fn candidates(&self, name: Option<&str>) -> impl Iterator<Item = usize> {
        let name = name.map(str::to_ascii_lowercase);
        let wildcard =
            name.as_deref().and_then(|name| name.split_once('.')).map(|(_, rest)| format!("*.{rest}"));
        let named =
            |name: Option<&str>| name.and_then(|name| self.by_name.get(name)).into_iter().flatten().copied();
        let exact: Vec<usize> = named(name.as_deref()).chain(named(wildcard.as_deref())).collect();
        exact.into_iter().chain(0..self.all.len())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let signs = |place: &usize| self.all[*place].key.choose_scheme(hello.signature_schemes()).is_some();
        let place = self
            .candidates(hello.server_name())
            .find(signs)
            .or_else(|| self.candidates(hello.server_name()).next())?;
        Some(Arc::clone(&self.all[place]))
    }
}
