use ipnet::IpNet;
use ir::{Duration, ProxyTlv, RateUnit, SourceKey};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{FieldError, GATEWAY_GROUP, Kind, OWN_GROUP, PolicyTargetReference, TOKEN};

/// Which connections to a Gateway or to one of its listeners are served at all: by who is calling, how many are
/// open and how fast they come. A policy on a listener replaces the Gateway's whole policy there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConnectionPolicy {
    /// The Gateways and ListenerSets, or listeners of them by `sectionName`, that the policy is about.
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
    /// Request headers that are filled from TLVs of the connection's header. What a client sends under these names
    /// is removed from every request, also where the connection has no such TLV.
    #[schemars(length(min = 1, max = 32))]
    pub headers: Option<Vec<ProxyProtocolHeader>>,
}

/// A request header that is filled from the PROXY header.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProxyProtocolHeader {
    /// A token of RFC 9110 §5.6.2; none that frames, routes or forwards a message.
    #[schemars(length(min = 1, max = 256), regex(pattern = TOKEN))]
    pub name: String,
    /// `ALPN`, `Authority`, `UniqueID`, `NetworkNamespace`, `SSLVersion`, `SSLCommonName`, `SSLCipher`,
    /// `SSLSignatureAlgorithm`, `SSLKeyAlgorithm`, `SSLVerify`, or a sender's own type, `0xE0` to `0xFF`.
    pub tlv: ProxyTlv,
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
            if !matches!(target.kind.as_str(), "Gateway" | "ListenerSet") {
                let message = format!("`{}`: expected Gateway or ListenerSet", target.kind);
                refuse(&format!("{path}.kind"), message);
            }
        }
        let headers = self.proxy_protocol.as_ref().and_then(|proxy| proxy.headers.as_deref());
        check_headers(headers.unwrap_or_default(), &mut refuse);
        if let Some(action) = self.action {
            action.check(&mut refuse);
        }
        errors
    }
}

/// Fields that frame, route or forward a message, or are about one connection (RFC 9110 §7.6.1). Nobody but the
/// gateway itself sets these.
const TAKEN: [&str; 15] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
    "x-request-id",
];

/// Families of such fields.
const TAKEN_PREFIXES: [&str; 2] = ["x-forwarded-", "x-envoy-"];

/// Backends that read `_` for `-` (CGI) must not be told a field twice, nor one of ours by another spelling.
fn comparable(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

fn check_headers(headers: &[ProxyProtocolHeader], refuse: &mut impl FnMut(&str, String)) {
    for (index, ProxyProtocolHeader { name, tlv: _ }) in headers.iter().enumerate() {
        let path = format!("spec.proxyProtocol.headers[{index}].name");
        let own = comparable(name);
        if TAKEN.contains(&&*own) || TAKEN_PREFIXES.iter().any(|prefix| own.starts_with(prefix)) {
            refuse(&path, format!("`{name}`: the gateway sets or needs this field itself"));
        }
        if let Some(first) = headers.iter().take(index).position(|other| comparable(&other.name) == own) {
            refuse(&path, format!("`{name}`: the same field as headers[{first}]"));
        }
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
    fn fields_of_the_gateways_own_are_not_filled_from_tlvs() {
        let paths = |names: &[&str]| -> Vec<String> {
            let headers: Vec<String> =
                names.iter().map(|name| format!("{{name: {name}, tlv: ALPN}}")).collect();
            let errors = errors(&format!("proxyProtocol: {{headers: [{}]}}", headers.join(", ")));
            errors.into_iter().map(|error| error.path).collect()
        };
        assert_eq!(paths(&["X-TLS-Client-CN", "X-Alpn", "authorization"]), [] as [String; 0]);
        for name in [
            "Connection",
            "HOST",
            "te",
            "X-Forwarded-For",
            "x-forwarded-client-cert",
            "X_Real_IP",
            "x-envoy-peer",
            "Content-Length",
        ] {
            assert_eq!(paths(&["x-a", name]), ["spec.proxyProtocol.headers[1].name"], "{name}");
        }
        let twice = ["spec.proxyProtocol.headers[1].name", "spec.proxyProtocol.headers[3].name"];
        assert_eq!(paths(&["x-a", "X-A", "x-b", "X_b"]), twice);
    }

    #[test]
    fn only_what_has_listeners_is_a_target() {
        let paths: Vec<String> = errors("targetRefs: [{group: '', kind: Service, name: x}]")
            .into_iter()
            .map(|error| error.path)
            .collect();
        assert_eq!(paths, ["spec.targetRefs[0].group", "spec.targetRefs[0].kind"]);
    }
}
