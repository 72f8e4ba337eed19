use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use rustls_pki_types::DnsName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Authorities, CertifiedKey, Hostname};

/// TLS that begins here: who a backend must be, and who we say we are. Source: Gateway API's BackendTLSPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct UpstreamTls {
    /// What the backend is told that it is wanted as (SNI), and, where `names` is empty, what its certificate must
    /// name.
    pub server_name: ServerName,
    /// One of them must have signed the backend's certificate, or what did.
    pub authorities: Arc<Authorities>,
    /// One of them must be in the backend's certificate; empty: `server_name` must be.
    pub names: Vec<SubjectAltName>,
    /// What a backend that asks for it is shown.
    pub client_certificate: Option<Arc<CertifiedKey>>,
}

/// A name that a certificate may have.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum SubjectAltName {
    /// A DNS name. A wildcard stands for itself and for every name under it.
    Hostname(Hostname),
    /// A URI, byte by byte.
    Uri(Box<str>),
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hostname(name) => name.fmt(f),
            Self::Uri(uri) => f.write_str(uri),
        }
    }
}

/// A DNS name that a server may be asked for: lower case, at most 253 bytes, no wildcard, no address. Source: Gateway
/// API `PreciseHostname`, RFC 6066 §3.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerName(DnsName<'static>);

/// Why a text is not a [`ServerName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is no name of a server: expected a hostname without wildcard, and no IP address")]
pub struct ServerNameError {
    found: String,
}

impl ServerName {
    /// The pattern of the API's schema, anchored.
    pub const PATTERN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// What rustls is given.
    pub fn rustls(&self) -> rustls_pki_types::ServerName<'static> {
        rustls_pki_types::ServerName::DnsName(self.0.clone())
    }
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let error = || ServerNameError { found: text.to_owned() };
        let name: Hostname = text.parse().map_err(|_| error())?;
        if name.wildcard_suffix().is_some() {
            return Err(error());
        }
        DnsName::try_from(text.to_owned()).map(Self).map_err(|_| error())
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ServerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for ServerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl JsonSchema for ServerName {
    fn schema_name() -> Cow<'static, str> {
        "ServerName".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "hostname", "minLength": 1, "maxLength": 253, "pattern": Self::PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_name_and_neither_wildcard_nor_address() {
        assert_eq!("a.test".parse::<ServerName>().unwrap().as_str(), "a.test");
        for bad in ["", "*.a.test", "A.test", "127.0.0.1", "1.2.3", "a.test."] {
            assert!(bad.parse::<ServerName>().is_err(), "{bad}");
        }
    }
}
