use std::collections::BTreeSet;

use ir::{Action, BackendTarget};
use translate::translate;

use crate::support;

const BEFORE: &str = "
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec: {controllerName: gateway.internal/appliance}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: eg}
spec: {gatewayClassName: eg, GATEWAY listeners: [{name: http, protocol: HTTP, port: 80}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: tea}
spec: {endpoints: [{ip: {address: 127.0.0.1, port: 9101}}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: tea}
spec:
  targetRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: tea}]
  validation: {VALIDATION}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: tea}
spec:
  parentRefs: [{name: eg}]
  rules: [{backendRefs: [{group: gateway.envoyproxy.io, kind: Backend, name: tea}]}]
";

/// The id of the one upstream, which is what pools and their connections are kept by.
fn upstream_id(gateway: &str, validation: &str) -> String {
    let text = BEFORE.replace("GATEWAY", gateway).replace("VALIDATION", validation);
    let translation = translate(&support::loaded([("case.yaml", text.as_str())]), &support::facts());
    let entry = &translation.gateway.binds[0].listeners[0].hosts[0].entries[0];
    let Action::Forward(choices) = &entry.rule.action else { panic!("it forwards") };
    let BackendTarget::Upstream(upstream) = &choices[0].target else { panic!("it resolves: {validation}") };
    upstream.id.to_string()
}

/// A connection must not outlive what its backend was trusted by, or what the backend was shown.
#[test]
fn connections_are_shared_under_the_same_tls_settings_only() {
    let ca = |name: &str| format!("caCertificateRefs: [{{group: '', kind: ConfigMap, name: {name}}}]");
    let own = |name: &str| format!("tls: {{backend: {{clientCertificateRef: {{name: {name}}}}}}},");
    let all = [
        (String::new(), format!("{}, hostname: tea.test", ca("ca"))),
        (String::new(), format!("{}, hostname: tea.test", ca("other-ca"))),
        (String::new(), format!("{}, hostname: cup.test", ca("ca"))),
        (
            String::new(),
            format!("{}, hostname: tea.test, subjectAltNames: [{{type: URI, uri: 'a://b'}}]", ca("ca")),
        ),
        (String::new(), "wellKnownCACertificates: System, hostname: tea.test".to_owned()),
        (own("eg-cert"), format!("{}, hostname: tea.test", ca("ca"))),
        (own("other-cert"), format!("{}, hostname: tea.test", ca("ca"))),
    ];
    let ids: BTreeSet<String> =
        all.iter().map(|(gateway, validation)| upstream_id(gateway, validation)).collect();
    assert_eq!(ids.len(), all.len(), "{ids:?}");
    let (gateway, validation) = &all[0];
    assert!(ids.contains(&upstream_id(gateway, validation)));
}
