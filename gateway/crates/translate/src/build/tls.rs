use ir::{CipherName, CipherSuites, Tls, TlsVersion};
use manifest::{
    did_you_mean,
    kind::{self, TlsVersionName},
};

use super::client::ClientNotes;
use crate::attach::ListenerState;

/// `spec.tls` of a ClientTrafficPolicy.
#[derive(Debug)]
pub(crate) struct TlsPolicy {
    min: TlsVersion,
    max: TlsVersion,
    ciphers: CipherSuites,
    /// `None`: by default.
    alpn: Option<Vec<Box<str>>>,
}

impl Default for TlsPolicy {
    fn default() -> Self {
        Self { min: TlsVersion::V1_2, max: TlsVersion::V1_3, ciphers: CipherSuites::default(), alpn: None }
    }
}

/// What connections speak after the handshake.
const SPOKEN: [&str; 2] = ["h2", "http/1.1"];

impl TlsPolicy {
    /// TLS of one listener. `None`: it has no certificate that could be shown.
    pub(super) fn of(&self, listener: &ListenerState<'_>) -> Option<Tls> {
        let default = || SPOKEN.iter().map(|name| Box::from(*name)).collect();
        (!listener.certificates.is_empty()).then(|| Tls {
            certificates: listener.certificates.clone(),
            min: self.min,
            max: self.max,
            ciphers: self.ciphers.clone(),
            client_validation: listener.client_validation.clone(),
            alpn: self.alpn.clone().unwrap_or_else(default),
        })
    }
}

pub(super) fn tls_policy(spec: &kind::Tls, notes: &mut ClientNotes<'_, '_>) -> TlsPolicy {
    let kind::Tls {
        min_version,
        max_version,
        ciphers,
        ecdh_curves: _,
        signature_algorithms: _,
        alpn_protocols,
        fingerprints: _,
        client_validation: _,
        session: _,
    } = spec;
    let default = TlsPolicy::default();
    let min = match min_version {
        None | Some(TlsVersionName::Auto | TlsVersionName::V1_2) => TlsVersion::V1_2,
        Some(TlsVersionName::V1_0 | TlsVersionName::V1_1) => {
            notes.warning(
                "spec.tls.minVersion",
                "TLS 1.0 and 1.1 are not served; service starts at 1.2".to_owned(),
            );
            TlsVersion::V1_2
        }
        Some(TlsVersionName::V1_3) => TlsVersion::V1_3,
    };
    let max = match max_version {
        None | Some(TlsVersionName::Auto | TlsVersionName::V1_3) => TlsVersion::V1_3,
        Some(TlsVersionName::V1_2) => TlsVersion::V1_2,
        Some(TlsVersionName::V1_0 | TlsVersionName::V1_1) => {
            let message =
                "TLS 1.0 and 1.1 are not served, so no version would be left; expected 1.2, 1.3 or Auto";
            notes.error("spec.tls.maxVersion", message.to_owned());
            TlsVersion::V1_3
        }
    };
    if min > max {
        notes.error("spec.tls.minVersion", "the lowest version is above the highest".to_owned());
    }
    let ciphers = ciphers.as_ref().filter(|names| !names.is_empty());
    TlsPolicy {
        min,
        max,
        ciphers: ciphers.map_or(default.ciphers, |names| cipher_suites(names, notes)),
        alpn: alpn_protocols.as_ref().map(|names| alpn(names, notes)),
    }
}

fn cipher_suites(names: &[String], notes: &mut ClientNotes<'_, '_>) -> CipherSuites {
    let mut suites = Vec::new();
    let mut unserved = Vec::new();
    let mut unknown = false;
    for (place, name) in names.iter().enumerate() {
        match CipherSuites::lookup(name) {
            CipherName::Served(suite) if suites.contains(&suite) => {}
            CipherName::Served(suite) => suites.push(suite),
            CipherName::Unserved => unserved.push(name.as_str()),
            CipherName::Unknown => {
                unknown = true;
                let hint = did_you_mean(name, CipherSuites::known_names());
                notes.error(
                    &format!("spec.tls.ciphers[{place}]"),
                    format!("`{name}` is no known cipher{hint}"),
                );
            }
        }
    }
    if !unserved.is_empty() && !suites.is_empty() {
        let message =
            format!("not offered, for want of forward secrecy or of an AEAD: {}", unserved.join(", "));
        notes.warning("spec.tls.ciphers", message);
    }
    if suites.is_empty() && !unknown {
        let message = format!(
            "none is left: without forward secrecy or an AEAD {} are not offered",
            unserved.join(", ")
        );
        notes.error("spec.tls.ciphers", message);
    }
    CipherSuites::new(suites)
}

/// What is offered must be spoken; an empty list switches ALPN off.
fn alpn(names: &[String], notes: &mut ClientNotes<'_, '_>) -> Vec<Box<str>> {
    let path = "spec.tls.alpnProtocols";
    let (spoken, unspoken): (Vec<&str>, Vec<&str>) =
        names.iter().map(String::as_str).partition(|name| SPOKEN.contains(name));
    if !unspoken.is_empty() && spoken.is_empty() {
        notes.error(path, format!("{} is not spoken here; expected h2 or http/1.1", unspoken.join(", ")));
    } else if !unspoken.is_empty() {
        notes.warning(path, format!("not offered, because not spoken here: {}", unspoken.join(", ")));
    }
    spoken.into_iter().map(Box::from).collect()
}
