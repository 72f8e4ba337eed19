use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Cross-origin resource sharing: which pages of other origins may use what a rule serves. Source: Gateway API
/// `HTTPCORSFilter`, GEP-1767, the Fetch standard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Cors {
    /// Origins that may; none: no origin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub allow_origins: Vec<CorsOrigin>,
    /// True: with cookies and other credentials too. By default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_credentials: Option<bool>,
    /// Methods beside GET, HEAD and POST, which need no leave; `*` alone: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 9))]
    pub allow_methods: Vec<CorsMethod>,
    /// Request headers that need leave; `*` alone: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"))
    )]
    pub allow_headers: Vec<String>,
    /// Response headers that the page may read; `*` alone: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 256), regex(pattern = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"))
    )]
    pub expose_headers: Vec<String>,
    /// Seconds for which a browser may keep the answer to a preflight request. By default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub max_age: Option<u32>,
}

/// A method, or `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum CorsMethod {
    /// GET.
    Get,
    /// HEAD.
    Head,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
    /// CONNECT.
    Connect,
    /// OPTIONS.
    Options,
    /// TRACE.
    Trace,
    /// PATCH.
    Patch,
    /// Every method.
    #[serde(rename = "*")]
    Any,
}

impl CorsMethod {
    /// The text of the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
            Self::Any => "*",
        }
    }
}

/// An origin: `scheme://host`, with `:port` where it is not the scheme's own; or `*`, every origin. A host that
/// starts with `*` stands for every host with one or more characters in the star's place, labels included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CorsOrigin(Box<str>);

/// Why a text is not a [`CorsOrigin`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not an origin: expected `*`, or scheme://host with an optional :port, such as https://*.example.com"
)]
pub struct CorsOriginError {
    found: String,
}

impl CorsOrigin {
    /// The pattern of the origins that are accepted, anchored.
    pub const PATTERN: &str =
        r"^(\*|[a-zA-Z][a-zA-Z0-9+.-]+://(\*|(\*\.)?[a-zA-Z0-9_.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?)$";

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `*` alone.
    pub fn is_any(&self) -> bool {
        *self.0 == *"*"
    }

    /// True if the value of an Origin field falls under this one. Scheme and host compare without case.
    pub fn matches(&self, origin: &str) -> bool {
        if self.is_any() {
            return true;
        }
        let Some((before, after)) = self.0.split_once('*') else {
            return self.0.eq_ignore_ascii_case(origin);
        };
        let (origin, length) = (origin.as_bytes(), before.len() + after.len());
        let Some(middle) = origin.len().checked_sub(length).filter(|middle| *middle > 0) else {
            return false;
        };
        let starred = &origin[before.len()..before.len() + middle];
        origin[..before.len()].eq_ignore_ascii_case(before.as_bytes())
            && origin[before.len() + middle..].eq_ignore_ascii_case(after.as_bytes())
            // The star stands for a part of the host: no port, no path, no user.
            && starred.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(byte))
    }
}

impl FromStr for CorsOrigin {
    type Err = CorsOriginError;

    fn from_str(text: &str) -> Result<Self, CorsOriginError> {
        let valid = text == "*" || is_origin(text).unwrap_or(false);
        if valid { Ok(Self(text.into())) } else { Err(CorsOriginError { found: text.to_owned() }) }
    }
}

fn is_origin(text: &str) -> Option<bool> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let is_host = match host.strip_prefix('[') {
        Some(address) => {
            address.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
        }
        None => {
            let name =
                host.strip_prefix("*.").or_else(|| host.strip_prefix('*').filter(|rest| rest.is_empty()));
            let name_or_star = name.unwrap_or(host);
            let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (host == "*" || !name_or_star.is_empty()) && name_or_star.bytes().all(of_name)
        }
    };
    Some(is_scheme && is_host && is_port)
}

impl fmt::Display for CorsOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CorsOrigin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for CorsOrigin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl JsonSchema for CorsOrigin {
    fn schema_name() -> Cow<'static, str> {
        "CorsOrigin".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": Self::PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_or_more_characters_of_a_host() {
        let check = |origin: &str, inside: &[&str], outside: &[&str]| {
            let origin: CorsOrigin = origin.parse().unwrap();
            inside.iter().for_each(|text| assert!(origin.matches(text), "{origin} {text}"));
            outside.iter().for_each(|text| assert!(!origin.matches(text), "{origin} {text}"));
        };
        check("*", &["https://a.test", "http://b.test:8080", "null"], &[]);
        check(
            "https://a.test",
            &["https://a.test", "HTTPS://A.test"],
            &["http://a.test", "https://a.test:8443", "https://b.a.test", "https://a.test.evil", "null"],
        );
        check(
            "https://*.a.test",
            &["https://b.a.test", "https://c.b.a.test"],
            &[
                "https://a.test",
                "https://.a.test.evil",
                "https://b.a.test:8443",
                "https://evil/.a.test",
                "https://u@b.a.test",
            ],
        );
        check("https://*.a.test:8443", &["https://b.a.test:8443"], &["https://b.a.test"]);
        check("https://*", &["https://a.test"], &["http://a.test", "https://", "https://a.test:8443"]);
    }

    #[test]
    fn what_is_no_origin_is_refused_by_type_and_pattern_alike() {
        let pattern = crate::Pattern::new(CorsOrigin::PATTERN).unwrap();
        for good in [
            "*",
            "https://a.test",
            "http://*.a.test:8080",
            "https://*",
            "https://[::1]:8443",
            "capacitor://localhost",
        ] {
            assert!(good.parse::<CorsOrigin>().is_ok() && pattern.is_match(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "a.test",
            "https://",
            "https://a.test/",
            "https://a.*.test",
            "https://a.test:",
            "https://a.test:port",
            "https://*a.test",
            "://a.test",
        ] {
            assert!(bad.parse::<CorsOrigin>().is_err() && !pattern.is_match(bad.as_bytes()), "{bad}");
        }
        assert!(
            "https://a.test:0".parse::<CorsOrigin>().is_err()
                && "https://a.test:65536".parse::<CorsOrigin>().is_err()
        );
    }
}
