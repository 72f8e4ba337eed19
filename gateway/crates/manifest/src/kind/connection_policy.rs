use ipnet::IpNet;
use ir::{Duration, RateUnit, SourceKey};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{FieldError, GATEWAY_GROUP, Kind, OWN_GROUP, PolicyTargetReference};

/// Which connections to a Gateway or to one of its listeners are served at all: by who is calling, how many are
/// open and how fast they come. A policy on a listener replaces the Gateway's whole policy there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionPolicy {
    /// The Gateways, or listeners of them by `sectionName`, that the policy is about.
    #[schemars(length(min = 1, max = 16))]
    pub target_refs: Vec<PolicyTargetReference>,
    /// Which address the whole policy goes by, unless a part says otherwise; by default `Peer`.
    pub key: Option<SourceKey>,
    /// Who may connect at all.
    #[serde(rename = "clientCIDRs")]
    pub client_cidrs: Option<ClientCidrs>,
    /// Most connections open at an instant.
    pub concurrent_connections: Option<ConcurrentConnections>,
    /// Most new connections in a time.
    pub connection_rate: Option<ConnectionRates>,
    /// PROXY headers.
    pub proxy_protocol: Option<ListenerProxyProtocol>,
    /// What a refused client sees; by default a reset.
    pub action: Option<ConnectionAction>,
    /// True: what would be refused is counted and logged, and served. By default false.
    pub dry_run: Option<bool>,
}

/// Who may connect at all: `deny` first, then `allow`; `exempt` frees from limits and rates only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientCidrs {
    /// Networks that are refused, even where `allow` or `exempt` has them too.
    #[schemars(with = "Option<Vec<String>>", length(min = 1, max = 10_000), extend("items" = {"type": "string", "format": "cidr"}))]
    pub deny: Option<Vec<IpNet>>,
    /// The only networks that are served; missing: all are.
    #[schemars(with = "Option<Vec<String>>", length(min = 1, max = 10_000), extend("items" = {"type": "string", "format": "cidr"}))]
    pub allow: Option<Vec<IpNet>>,
    /// Networks that are neither counted nor limited by this policy. Each limit looks for the address that it goes
    /// by.
    #[schemars(with = "Option<Vec<String>>", length(min = 1, max = 10_000), extend("items" = {"type": "string", "format": "cidr"}))]
    pub exempt: Option<Vec<IpNet>>,
    /// Which address is looked for in `deny` and `allow`; by default the policy's `key`.
    pub key: Option<SourceKey>,
}

/// Most connections open at an instant, over all workers and addresses of a listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConcurrentConnections {
    /// From one address.
    pub per_source: Option<PerSource>,
    /// From one network.
    pub per_prefix: Option<PerPrefix>,
}

/// Most connections from one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PerSource {
    /// Most open at an instant.
    #[schemars(range(min = 1))]
    pub limit: u32,
    /// Whose address; by default the policy's `key`.
    pub key: Option<SourceKey>,
}

/// Most connections from one network: all addresses that share their first bits count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PerPrefix {
    /// Most open at an instant.
    #[schemars(range(min = 1))]
    pub limit: u32,
    /// How many bits of an IPv4 address make the network; by default 24.
    #[schemars(range(min = 1, max = 32))]
    pub ipv4_prefix_length: Option<u8>,
    /// How many bits of an IPv6 address make the network; by default 64, what one customer has at least.
    #[schemars(range(min = 1, max = 128))]
    pub ipv6_prefix_length: Option<u8>,
    /// Whose address; by default the policy's `key`.
    pub key: Option<SourceKey>,
}

/// Most new connections in a time. A connection that a limit refuses costs no token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionRates {
    /// Of the whole listener.
    pub per_listener: Option<Rate>,
    /// From one address.
    pub per_source: Option<Rate>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// New connections per unit.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections: u32,
    /// By default `Second`.
    pub unit: Option<RateUnit>,
    /// Most at once after a pause; by default `connections`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
    /// Whose address is counted, and looked for in `exempt`; by default the policy's `key`.
    pub key: Option<SourceKey>,
}

/// PROXY headers, where the listener's ClientTrafficPolicy asks for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerProxyProtocol {
    /// Peers whose headers are believed here, in place of the Appliance's. A header from anyone else closes the
    /// connection; an empty list believes nobody.
    #[schemars(with = "Option<Vec<String>>", length(max = 256), extend("items" = {"type": "string", "format": "cidr"}))]
    pub trusted_senders: Option<Vec<IpNet>>,
}

/// What a refused client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionAction {
    /// Which action.
    #[serde(rename = "type")]
    pub kind: ConnectionActionType,
    /// How long a refused connection is held, up to 1 min. Required with `CloseAfterDelay`, and only there.
    pub close_delay: Option<Duration>,
}

/// Which action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ConnectionActionType {
    /// The connection is reset.
    Reset,
    /// The connection is not answered. Where user space refuses, it has been answered already, and is reset.
    Drop,
    /// The connection is accepted, says nothing, and is closed after a delay: the client learns late. Held
    /// connections have a cap of their own; beyond it they are reset.
    CloseAfterDelay,
}

/// Longest time that a refused connection is held.
const MAX_DELAY: Duration = Duration::from_secs(60);

impl Kind for ConnectionPolicy {
    const KIND: &'static str = "ConnectionPolicy";
    const GROUP: &'static str = OWN_GROUP;
    const VERSIONS: &'static [&'static str] = &["v1alpha1"];
    const NAMESPACED: bool = true;
    const CORE: bool = false;

    fn check(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut refuse = |path: &str, message: String| errors.push(FieldError::new(path, message));
        for (index, target) in self.target_refs.iter().enumerate() {
            let path = format!("spec.targetRefs[{index}]");
            if target.group != GATEWAY_GROUP {
                refuse(&format!("{path}.group"), format!("`{}`: expected {GATEWAY_GROUP}", target.group));
            }
            if target.kind != "Gateway" {
                refuse(&format!("{path}.kind"), format!("`{}`: expected Gateway", target.kind));
            }
        }
        if let Some(action) = self.action {
            action.check(&mut refuse);
        }
        errors
    }
}

impl ConnectionAction {
    fn check(self, refuse: &mut impl FnMut(&str, String)) {
        let path = "spec.action.closeDelay";
        match (self.kind, self.close_delay) {
            (ConnectionActionType::CloseAfterDelay, None) => {
                refuse(path, "`CloseAfterDelay` needs `closeDelay`".into());
            }
            (ConnectionActionType::CloseAfterDelay, Some(delay))
                if delay.limit().is_none() || delay > MAX_DELAY =>
            {
                refuse(path, format!("found {delay}, expected 1ms to {MAX_DELAY}"));
            }
            (ConnectionActionType::CloseAfterDelay, Some(_)) | (_, None) => {}
            (_, Some(_)) => refuse(path, "`closeDelay` goes with `CloseAfterDelay` only".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(spec: &str) -> Vec<FieldError> {
        let target = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]\n";
        let text = if spec.contains("targetRefs") { spec.to_owned() } else { target.to_owned() + spec };
        let policy: ConnectionPolicy = serde_yaml::from_str(&text).expect("it has the right types");
        policy.check()
    }

    #[test]
    fn an_action_has_a_delay_exactly_where_it_waits() {
        for good in [
            "",
            "action: {type: Reset}",
            "action: {type: Drop}",
            "action: {type: CloseAfterDelay, closeDelay: 1ms}",
            "action: {type: CloseAfterDelay, closeDelay: 1m}",
        ] {
            assert_eq!(errors(good), [], "{good}");
        }
        for bad in [
            "action: {type: CloseAfterDelay}",
            "action: {type: CloseAfterDelay, closeDelay: 0s}",
            "action: {type: CloseAfterDelay, closeDelay: 1m1ms}",
            "action: {type: Reset, closeDelay: 1s}",
            "action: {type: Drop, closeDelay: 1s}",
        ] {
            let paths: Vec<String> = errors(bad).into_iter().map(|error| error.path).collect();
            assert_eq!(paths, ["spec.action.closeDelay"], "{bad}");
        }
    }

    #[test]
    fn only_gateways_are_targets() {
        let paths: Vec<String> = errors("targetRefs: [{group: '', kind: Service, name: x}]")
            .into_iter()
            .map(|error| error.path)
            .collect();
        assert_eq!(paths, ["spec.targetRefs[0].group", "spec.targetRefs[0].kind"]);
    }
}
