use std::{borrow::Cow, fmt, str::FromStr, time};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration as Gateway API writes it: one to four groups of one to five digits, each with a unit of
/// `h`, `m`, `s` or `ms` (`1h30m`, `500ms`, `0s`; not `1.5s`). Source: GEP-2257.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

/// Why a text is not a [`Duration`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a duration: expected one to four groups of digits with h, m, s or ms, such as 1h30m or 500ms"
)]
pub struct DurationError {
    found: String,
}

impl Duration {
    /// The pattern of GEP-2257, anchored.
    pub const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

    /// A duration of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(time::Duration::from_millis(millis))
    }

    /// A duration of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(time::Duration::from_secs(secs))
    }

    /// As the standard library's type.
    pub const fn std(self) -> time::Duration {
        self.0
    }

    /// `None` for `0s`, which in Gateway API and Envoy Gateway means "no limit".
    pub fn limit(self) -> Option<time::Duration> {
        (!self.0.is_zero()).then_some(self.0)
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError { found: text.to_owned() };
        let mut rest = text;
        let mut millis: u64 = 0;
        let mut groups = 0;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits == 0 || digits > 5 || groups == 4 {
                return Err(error());
            }
            let number: u64 = rest[..digits].parse().map_err(|_| error())?;
            rest = &rest[digits..];
            let (unit, scale) = if rest.starts_with("ms") {
                (2, 1)
            } else if rest.starts_with('h') {
                (1, 3_600_000)
            } else if rest.starts_with('m') {
                (1, 60_000)
            } else if rest.starts_with('s') {
                (1, 1_000)
            } else {
                return Err(error());
            };
            rest = &rest[unit..];
            millis += number * scale;
            groups += 1;
        }
        if groups == 0 { Err(error()) } else { Ok(Self::from_millis(millis)) }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        for (unit, scale) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            let count = millis / scale;
            if count > 0 {
                write!(f, "{count}{unit}")?;
                millis %= scale;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "duration", "pattern": Self::PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_gep_2257_allows_and_nothing_else() {
        let read = |text: &str| text.parse::<Duration>().ok().map(|duration| duration.std().as_millis());
        assert_eq!(read("1h30m"), Some(5_400_000));
        assert_eq!(read("500ms"), Some(500));
        assert_eq!(read("1m1ms"), Some(60_001));
        assert_eq!(read("0s"), Some(0));
        for bad in ["", "1", "1.5s", "-1s", "123456s", "1s1s1s1s1s", "1d", "s", " 1s"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["1h30m", "500ms", "0s", "2m1ms"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
    }
}
