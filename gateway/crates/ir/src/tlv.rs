use std::{borrow::Cow, fmt, str::FromStr};

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A request header that is filled from the connection's PROXY header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlvHeader {
    /// Lower case; never one that frames, routes or forwards a message.
    pub name: HeaderName,
    /// What it is filled with.
    pub tlv: ProxyTlv,
}

impl Serialize for TlvHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}: {}", self.name, self.tlv))
    }
}

/// What a PROXY header of version 2 may say beside addresses. Source: haproxy's `proxy-protocol.txt` §2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyTlv {
    /// The protocol that the client and the sender agreed on by ALPN.
    Alpn,
    /// The host name that the client asked the sender for.
    Authority,
    /// The sender's identifier of the connection, in hexadecimal.
    UniqueId,
    /// The sender's network namespace.
    NetworkNamespace,
    /// The version of the client's TLS.
    SslVersion,
    /// The common name of the client's certificate, if the sender has verified it.
    SslCommonName,
    /// The cipher of the client's TLS.
    SslCipher,
    /// The algorithm that the sender's certificate is signed with.
    SslSignatureAlgorithm,
    /// The algorithm of the sender's key.
    SslKeyAlgorithm,
    /// The outcome of verifying the client's certificate, a decimal number: 0 is success.
    SslVerify,
    /// A type of 0xE0 and above: what a sender has made up, in hexadecimal.
    Custom(u8),
}

/// Not what a [`ProxyTlv`] is called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}`: expected one of {}, or 0xE0 to 0xFF", ProxyTlv::names())]
pub struct ProxyTlvError {
    found: String,
}

impl ProxyTlv {
    /// The lowest type that the specification leaves to senders.
    pub const FIRST_CUSTOM: u8 = 0xe0;

    /// Those with a name, and their keys in the access log.
    const NAMED: [(Self, &'static str, &'static str); 10] = [
        (Self::Alpn, "ALPN", "alpn"),
        (Self::Authority, "Authority", "authority"),
        (Self::UniqueId, "UniqueID", "unique_id"),
        (Self::NetworkNamespace, "NetworkNamespace", "netns"),
        (Self::SslVersion, "SSLVersion", "ssl_version"),
        (Self::SslCommonName, "SSLCommonName", "ssl_cn"),
        (Self::SslCipher, "SSLCipher", "ssl_cipher"),
        (Self::SslSignatureAlgorithm, "SSLSignatureAlgorithm", "ssl_sig_alg"),
        (Self::SslKeyAlgorithm, "SSLKeyAlgorithm", "ssl_key_alg"),
        (Self::SslVerify, "SSLVerify", "ssl_verify"),
    ];

    /// What the schema accepts.
    pub const PATTERN: &'static str = "^(ALPN|Authority|UniqueID|NetworkNamespace|SSLVersion|SSLCommonName|SSLCipher|SSLSignatureAlgorithm|SSLKeyAlgorithm|SSLVerify|0[xX][eEfF][0-9a-fA-F])$";

    /// Its key in the access log, without the prefix: `ssl_cn`, `0xea`.
    pub fn log_key(self) -> impl fmt::Display {
        fmt::from_fn(move |f| match (self, self.named()) {
            (_, Some((_, key))) => f.write_str(key),
            (Self::Custom(kind), None) => write!(f, "{kind:#04x}"),
            (_, None) => Ok(()),
        })
    }

    fn named(self) -> Option<(&'static str, &'static str)> {
        let row = Self::NAMED.iter().find(|(tlv, _, _)| *tlv == self)?;
        Some((row.1, row.2))
    }

    /// Those with a name.
    pub fn all_named() -> impl Iterator<Item = Self> {
        Self::NAMED.into_iter().map(|(tlv, _, _)| tlv)
    }

    fn names() -> String {
        Self::NAMED.map(|(_, name, _)| name).join(", ")
    }
}

impl FromStr for ProxyTlv {
    type Err = ProxyTlvError;

    fn from_str(text: &str) -> Result<Self, ProxyTlvError> {
        if let Some((tlv, _, _)) = Self::NAMED.iter().find(|(_, name, _)| *name == text) {
            return Ok(*tlv);
        }
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let kind = digits
            .filter(|digits| digits.len() == 2 && !digits.starts_with('+'))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .filter(|kind| *kind >= Self::FIRST_CUSTOM);
        kind.map(Self::Custom).ok_or_else(|| ProxyTlvError { found: text.to_owned() })
    }
}

impl fmt::Display for ProxyTlv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.named()) {
            (_, Some((name, _))) => f.write_str(name),
            (Self::Custom(kind), None) => write!(f, "0x{kind:02X}"),
            (_, None) => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for ProxyTlv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for ProxyTlv {
    fn schema_name() -> Cow<'static, str> {
        "ProxyTlv".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": Self::PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_the_schema_knows_it() {
        let pattern = Regex::new(ProxyTlv::PATTERN).unwrap();
        for (tlv, name, _) in ProxyTlv::NAMED {
            assert_eq!((name.parse(), tlv.to_string()), (Ok(tlv), name.to_owned()));
            assert!(pattern.is_match(name), "{name}");
        }
        for (text, kind) in [("0xE0", 0xe0), ("0xea", 0xea), ("0XFF", 0xff)] {
            assert_eq!(text.parse(), Ok(ProxyTlv::Custom(kind)));
            assert!(pattern.is_match(text), "{text}");
        }
        for text in ["", "alpn", "0xDF", "0x+F", "0xE", "0xE00", "E0", "224", "SSL", "CRC32C", "NOOP"] {
            assert!(text.parse::<ProxyTlv>().is_err() && !pattern.is_match(text), "{text}");
        }
    }

    #[test]
    fn keys_of_the_log_are_lower_case() {
        assert_eq!(ProxyTlv::SslCommonName.log_key().to_string(), "ssl_cn");
        assert_eq!(ProxyTlv::Custom(0xea).log_key().to_string(), "0xea");
    }
}
