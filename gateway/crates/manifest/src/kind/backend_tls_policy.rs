use std::collections::BTreeMap;

use ir::{Hostname, ServerName};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{FieldError, GATEWAY_GROUP, Kind, LocalObjectReference, PolicyTargetReference};

/// TLS to the backends that it names, and who they must be. A policy on one port of a Service (`sectionName`) replaces
/// that on the whole Service there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendTlsPolicy {
    /// Services, or ports of them by `sectionName`, and Backends of group `gateway.envoyproxy.io`.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<PolicyTargetReference>,
    /// Who a backend must be.
    pub validation: BackendTlsValidation,
    /// Settings of implementations.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16, "x-gateway-unserved" = "this implementation defines no TLS options"))]
    pub options: BTreeMap<String, String>,
}

/// Who a backend must be: `caCertificateRefs` or `wellKnownCACertificates`, and a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendTlsValidation {
    /// ConfigMaps or Secrets with the certificates of authorities, in PEM under the key `ca.crt`. One of the authorities
    /// must have signed the backend's certificate, or what did.
    #[serde(rename = "caCertificateRefs", default)]
    #[schemars(length(max = 8))]
    pub ca_certificate_refs: Vec<LocalObjectReference>,
    /// `System`: the authorities that this host trusts.
    #[serde(rename = "wellKnownCACertificates")]
    #[schemars(
        length(min = 1, max = 253),
        regex(
            pattern = r"^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$"
        )
    )]
    pub well_known_ca_certificates: Option<String>,
    /// What a backend is asked for (SNI), and, without `subjectAltNames`, what its certificate must name.
    pub hostname: ServerName,
    /// Names of which the backend's certificate must have one; `hostname` is not looked for then.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub subject_alt_names: Vec<SubjectAltNameSpec>,
}

/// A name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubjectAltNameSpec {
    /// Which of the two it is.
    #[serde(rename = "type")]
    pub name_type: SubjectAltNameType,
    /// A DNS name, for `Hostname`.
    pub hostname: Option<Hostname>,
    /// A URI with its scheme, for `URI`: `spiffe://example.com/ns/default/sa/tea`.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?")
    )]
    pub uri: Option<String>,
}

/// Kinds of names of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SubjectAltNameType {
    /// A DNS name.
    Hostname,
    /// A URI.
    #[serde(rename = "URI")]
    Uri,
}

impl Kind for BackendTlsPolicy {
    const KIND: &'static str = "BackendTLSPolicy";
    const GROUP: &'static str = GATEWAY_GROUP;
    const VERSIONS: &'static [&'static str] = &["v1", "v1alpha3"];
    const NAMESPACED: bool = true;
    const CORE: bool = false;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        self.check_targets(&mut errors);
        let BackendTlsValidation {
            ca_certificate_refs, well_known_ca_certificates, subject_alt_names, ..
        } = &self.validation;
        let message = match (ca_certificate_refs.is_empty(), well_known_ca_certificates) {
            (false, Some(_)) => Some("`caCertificateRefs` and `wellKnownCACertificates` do not go together"),
            (true, None) => Some("one of `caCertificateRefs` and `wellKnownCACertificates` must be given"),
            (false, None) | (true, Some(_)) => None,
        };
        errors.extend(message.map(|message| FieldError::new("spec.validation", message)));
        for (place, name) in subject_alt_names.iter().enumerate() {
            name.check(&format!("spec.validation.subjectAltNames[{place}]"), &mut errors);
        }
        errors
    }
}

impl BackendTlsPolicy {
    fn check_targets(&self, errors: &mut Vec<FieldError>) {
        for (place, target) in self.target_refs.iter().enumerate() {
            let same = |other: &&PolicyTargetReference| {
                (&other.group, &other.kind, &other.name) == (&target.group, &target.kind, &target.name)
            };
            let section = |target: &PolicyTargetReference| target.section_name.clone();
            let path = format!("spec.targetRefs[{place}]");
            let earlier: Vec<_> = self.target_refs[..place].iter().filter(same).collect();
            if earlier.iter().any(|other| section(other) == section(target)) {
                errors.push(FieldError::new(path, "this target stands twice; targets are unique"));
            } else if earlier.iter().any(|other| section(other).is_none() || section(target).is_none()) {
                let message = "a target that stands several times needs a `sectionName` each time";
                errors.push(FieldError::new(path, message));
            }
        }
    }
}

impl SubjectAltNameSpec {
    fn check(&self, path: &str, errors: &mut Vec<FieldError>) {
        let Self { name_type, hostname, uri } = self;
        let (wanted, unwanted) = match name_type {
            SubjectAltNameType::Hostname => (("hostname", hostname.is_some()), ("uri", uri.is_some())),
            SubjectAltNameType::Uri => (("uri", uri.is_some()), ("hostname", hostname.is_some())),
        };
        if !wanted.1 {
            errors.push(FieldError::new(path, format!("this type needs `{}`", wanted.0)));
        }
        if unwanted.1 {
            let message = "does not go with this type";
            errors.push(FieldError::new(format!("{path}.{}", unwanted.0), message));
        }
    }
}
