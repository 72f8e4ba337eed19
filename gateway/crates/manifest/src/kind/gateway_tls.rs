use std::collections::BTreeSet;

use ir::ClientValidationMode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{FieldError, ObjectReference, SecretReference};

/// TLS settings of a whole Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayTls {
    /// Towards backends that a BackendTLSPolicy asks TLS for.
    pub backend: Option<GatewayBackendTls>,
    /// Towards clients of HTTPS listeners.
    pub frontend: Option<FrontendTls>,
}

/// TLS towards backends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GatewayBackendTls {
    /// The Secret with the certificate that a backend is shown which asks for one.
    pub client_certificate_ref: Option<SecretReference>,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrontendTls {
    /// Of every HTTPS listener whose port has nothing of its own.
    pub default: FrontendTlsConfig,
    /// Of single ports, in the place of `default`.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub per_port: Vec<FrontendPortTls>,
}

/// TLS towards the clients of one port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrontendPortTls {
    /// The port of the listeners.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// What holds there.
    pub tls: FrontendTlsConfig,
}

/// TLS towards clients of listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrontendTlsConfig {
    /// Certificates of clients; by default none is asked for.
    pub validation: Option<FrontendValidation>,
}

/// Certificates of clients.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FrontendValidation {
    /// ConfigMaps or Secrets with the certificates of authorities, in PEM under the key `ca.crt`. One of the authorities
    /// must have signed a client's certificate, or what did.
    #[serde(rename = "caCertificateRefs")]
    #[schemars(length(min = 1, max = 16))]
    pub ca_certificate_refs: Vec<ObjectReference>,
    /// What becomes of a client without a valid certificate; by default `AllowValidOnly`.
    pub mode: Option<ClientValidationMode>,
}

impl GatewayTls {
    /// What holds for clients of a port, and where it stands.
    pub fn validation(&self, port: u16) -> Option<(String, &FrontendValidation)> {
        let FrontendTls { default, per_port } = self.frontend.as_ref()?;
        let (path, config) = match per_port.iter().position(|own| own.port == port) {
            Some(place) => (format!("spec.tls.frontend.perPort[{place}].tls"), &per_port[place].tls),
            None => ("spec.tls.frontend.default".to_owned(), default),
        };
        Some((format!("{path}.validation"), config.validation.as_ref()?))
    }

    pub(super) fn check(&self, errors: &mut Vec<FieldError>) {
        let mut ports = BTreeSet::new();
        let per_port = self.frontend.as_ref().map(|frontend| frontend.per_port.as_slice());
        for (place, own) in per_port.unwrap_or_default().iter().enumerate() {
            if !ports.insert(own.port) {
                let path = format!("spec.tls.frontend.perPort[{place}].port");
                errors.push(FieldError::new(path, "this port stands twice; ports are unique"));
            }
        }
    }
}
