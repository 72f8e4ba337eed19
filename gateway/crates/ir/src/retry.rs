use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// When a request is sent to its backend again. With it, a backend that cannot be connected to, closes without an
/// answer or takes longer than `timeouts.backendRequest` costs another attempt. Only a request that may be repeated
/// is (RFC 9110 §9.2.2). Source: Gateway API `HTTPRouteRetry`, GEP-1731.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    /// Statuses of responses that cost another attempt too; none: no response does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 400, max = 599)))]
    pub codes: Vec<u16>,
    /// Most attempts after the first. By default 2, as in Envoy Gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub attempts: Option<u32>,
    /// Least time between two attempts; it doubles with each, up to ten times this, and a random share of up to half
    /// is added. By default 25 ms, as in Envoy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Duration>,
}

impl Retry {
    /// Most attempts after the first.
    pub fn attempts(&self) -> u32 {
        self.attempts.unwrap_or(2)
    }

    /// Least time before the first retry.
    pub fn backoff(&self) -> std::time::Duration {
        self.backoff.unwrap_or(Duration::from_millis(25)).std()
    }
}
