use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A DNS name, or `*.` and a DNS name that matches one or more labels in its place. Lower case, at most 253
/// bytes, no port, no address, no trailing dot. Source: Gateway API `Hostname`, RFC 1123.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(Box<str>);

/// Why a text is not a [`Hostname`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a hostname: expected lower-case labels of letters, digits and `-` joined by dots, optionally after `*.`, and no IP address"
)]
pub struct HostnameError {
    found: String,
}

impl Hostname {
    /// The pattern of the API's schema, anchored.
    pub const PATTERN: &str = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

    /// The text, with its `*.` if it has one.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after `*` (so it starts with a dot), if this is a wildcard.
    pub fn wildcard_suffix(&self) -> Option<&str> {
        self.0.strip_prefix('*')
    }

    /// True if a name that a client asked for (lower case, without port) falls under this one. A wildcard
    /// matches one or more labels, never none.
    pub fn matches(&self, name: &str) -> bool {
        match self.wildcard_suffix() {
            Some(suffix) => name.len() > suffix.len() && name.ends_with(suffix) && !name.starts_with('.'),
            None => *self.0 == *name,
        }
    }

    /// The more specific of the two where they overlap: what a route's hostname comes to on a listener's.
    pub fn intersection<'a>(&'a self, other: &'a Self) -> Option<&'a Self> {
        match (self.wildcard_suffix(), other.wildcard_suffix()) {
            (None, None) => (self == other).then_some(self),
            (None, Some(_)) => other.matches(&self.0).then_some(self),
            (Some(_), None) => self.matches(&other.0).then_some(other),
            (Some(mine), Some(theirs)) => {
                if mine.ends_with(theirs) {
                    Some(self)
                } else if theirs.ends_with(mine) {
                    Some(other)
                } else {
                    None
                }
            }
        }
    }
}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, HostnameError> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let label = |label: &str| {
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let valid =
            text.len() <= 253 && name.split('.').all(label) && text.parse::<std::net::IpAddr>().is_err();
        if valid { Ok(Self(text.into())) } else { Err(HostnameError { found: text.to_owned() }) }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Hostname {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Hostname {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for Hostname {
    fn schema_name() -> Cow<'static, str> {
        "Hostname".into()
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

    fn name(text: &str) -> Hostname {
        text.parse().unwrap()
    }

    #[test]
    fn wildcards_match_one_or_more_labels() {
        let wildcard = name("*.example.com");
        assert!(wildcard.matches("a.example.com"));
        assert!(wildcard.matches("a.b.example.com"));
        assert!(!wildcard.matches("example.com"));
        assert!(!wildcard.matches(".example.com"));
        assert!(!wildcard.matches("badexample.com"));
    }

    #[test]
    fn intersection_is_the_more_specific_name() {
        let check = |a: &str, b: &str, both: Option<&str>| {
            assert_eq!(name(a).intersection(&name(b)).map(Hostname::as_str), both, "{a} {b}");
            assert_eq!(name(b).intersection(&name(a)).map(Hostname::as_str), both, "{b} {a}");
        };
        check("*.example.com", "a.example.com", Some("a.example.com"));
        check("*.example.com", "*.a.example.com", Some("*.a.example.com"));
        check("*.example.com", "example.com", None);
        check("*.example.com", "*.example.org", None);
        check("a.test", "a.test", Some("a.test"));
    }

    #[test]
    fn refuses_what_the_schema_refuses() {
        for bad in ["", "*", "*.", "A.com", "a..b", "-a.com", "a.com.", "1.2.3.4", "a.com:80", "a.*.com"] {
            assert!(bad.parse::<Hostname>().is_err(), "{bad}");
        }
    }
}
