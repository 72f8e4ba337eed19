//! What every test serves, in variations: one Gateway with a clear-text listener, routes to an echo backend.

use std::net::TcpListener;

use e2e::{
    echo,
    gateway::{Gateway, Place},
    http::Connection,
    namespaces,
    netns::{GATEWAY, GATEWAY6, Wire},
};

/// The port that the Gateway listens on.
pub const PORT: u16 = 8080;
/// The echo backend, on the loopback that it shares with the gateway.
pub const ECHO: u16 = 9101;

/// GatewayClass, Gateway `eg` with listener `http` on [`PORT`], Backend `echo`, HTTPRoute `all`.
pub fn manifests() -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {{name: eg}}
spec: {{controllerName: gateway.internal/appliance}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: eg, namespace: default}}
spec:
  gatewayClassName: eg
  listeners:
  - {{name: http, port: {PORT}, protocol: HTTP}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {{name: echo, namespace: default}}
spec: {{endpoints: [{{ip: {{address: 127.0.0.1, port: {ECHO}}}}}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: all, namespace: default}}
spec:
  parentRefs: [{{name: eg}}]
  rules:
  - backendRefs: [{{group: gateway.envoyproxy.io, kind: Backend, name: echo}}]
"
    )
}

/// An Appliance whose kernel half works on the given interfaces (`[]` for none).
pub fn appliance(kernel: &str) -> String {
    format!(
        "apiVersion: gateway.internal/v1alpha1
kind: Appliance
metadata: {{name: appliance}}
spec:
  kernel: {kernel}
  proxyProtocol: {{trustedSenders: [198.51.100.0/28, \"2001:db8:1::/64\"]}}
"
    )
}

/// A ClientTrafficPolicy on the whole Gateway.
pub fn policy(spec: &str) -> String {
    format!(
        "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: ClientTrafficPolicy
metadata: {{name: client, namespace: default}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: eg}}]
{spec}"
    )
}

/// A ConnectionPolicy on the whole Gateway.
pub fn connection_policy(spec: &str) -> String {
    format!(
        "apiVersion: gateway.internal/v1alpha1
kind: ConnectionPolicy
metadata: {{name: who, namespace: default}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: eg}}]
{spec}"
    )
}

/// A ClientTrafficPolicy with so many connections at most, on the whole Gateway.
pub fn limited(most: usize) -> String {
    policy(&format!("  connection: {{connectionLimit: {{value: {most}}}}}\n"))
}

/// A wire with an echo backend and a gateway on [`manifests`].
#[derive(Debug)]
pub struct Cafe {
    /// The gateway; dropped, and so killed, before its directories and namespaces.
    pub gateway: Gateway,
    /// Its directories.
    pub place: Place,
    /// The network.
    pub wire: Wire,
}

impl Cafe {
    /// Opens it with more manifests; `None` where namespaces cannot be made.
    pub fn open(more: &[(&str, String)], flags: &[&str]) -> Option<Self> {
        Self::open_by(more, flags, |_| {})
    }

    /// Likewise, with something done before the gateway is started.
    pub fn open_by(more: &[(&str, String)], flags: &[&str], before: impl FnOnce(&mut Place)) -> Option<Self> {
        if !namespaces() {
            return None;
        }
        let wire = Wire::new();
        wire.gateway.run(|| {
            echo::serve(TcpListener::bind(("127.0.0.1", ECHO)).expect("a namespace of our own"), "echo")
        });
        let mut place = Place::new();
        before(&mut place);
        place.write("cafe.yaml", &manifests());
        for (name, text) in more {
            place.write(name, text);
        }
        let gateway = Gateway::start(&wire.gateway, &place, flags);
        Some(Self { gateway, place, wire })
    }

    /// A connection from the client's namespace.
    pub fn connect(&self) -> std::io::Result<Connection> {
        self.wire.client.run(|| Connection::open((GATEWAY, PORT)))
    }

    /// As [`Self::connect`], over IPv6.
    pub fn connect6(&self) -> std::io::Result<Connection> {
        self.wire.client.run(|| Connection::open((GATEWAY6, PORT)))
    }

    /// What enforces limits on an interface: `xdp`, `tc` or `accept`; `None`: it is not followed.
    pub fn tier(&self, interface: &str) -> Option<&'static str> {
        let interface = format!("interface=\"{interface}\"");
        let is = |tier: &&str| {
            self.metric("gateway_kernel_tier", &[&interface, &format!("tier=\"{tier}\"")]) == 1.0
        };
        ["xdp", "tc", "accept"].into_iter().find(is)
    }

    /// A counter's sum over all series whose line starts with `name{` and contains each of `labels`.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.wire.gateway.run(|| e2e::gateway::admin("/metrics")).unwrap_or_default();
        page.lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter(|line| labels.iter().all(|label| line.contains(label)))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }
}
