use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::{remarks::Remarks, spot::Spot};

/// The Gateway that routes attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `None`: the namespace of the first object that is converted.
    pub(crate) namespace: Option<String>,
    /// `metadata.name`.
    pub(crate) gateway: String,
    /// `spec.gatewayClassName`.
    pub(crate) class: String,
    /// It exists already, and is not written.
    pub(crate) exists: bool,
}

/// The port of clear text, and of TLS.
pub(super) const HTTP: u16 = 80;
pub(super) const HTTPS: u16 = 443;

/// Most listeners of a Gateway, as its definition has it.
const MOST_LISTENERS: usize = 64;

/// The certificates of the hosts that are served with TLS.
#[derive(Debug, Default)]
pub(super) struct Certificates<'a>(BTreeMap<String, Certificate<'a>>);

#[derive(Debug)]
struct Certificate<'a> {
    namespace: String,
    secret: Option<String>,
    spot: Spot<'a>,
}

impl<'a> Certificates<'a> {
    /// Some hosts are served with the certificate in a Secret; `None`: with one that nobody names. No host: every one.
    pub(super) fn add(
        &mut self,
        hosts: &[String],
        secret: Option<&str>,
        spot: &Spot<'a>,
        remarks: &mut Remarks,
    ) {
        let namespace = spot.object.id.namespace.to_string();
        let any = [String::new()];
        for host in if hosts.is_empty() { &any } else { hosts } {
            let new = Certificate {
                namespace: namespace.clone(),
                secret: secret.map(str::to_owned),
                spot: spot.clone(),
            };
            match self.0.get_mut(host) {
                None => drop(self.0.insert(host.clone(), new)),
                Some(old) if old.secret.is_none() => *old = new,
                Some(old)
                    if new.secret.is_none() || (&old.namespace, &old.secret) == (&namespace, &new.secret) => {
                }
                Some(old) => {
                    let other = old.secret.as_deref().unwrap_or_default();
                    let message =
                        format!("{host} has the certificate of Secret {}/{other} already", old.namespace);
                    remarks.differs(spot, message);
                }
            }
        }
    }

    /// True if nothing is served with TLS.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The Gateway, and the ReferenceGrants that it needs for certificates of other namespaces.
    pub(super) fn documents(
        &self,
        target: &Target,
        namespace: &str,
        all: bool,
        remarks: &mut Remarks,
    ) -> Vec<Json> {
        let routes = if all { json!({ "namespaces": { "from": "All" } }) } else { Json::Null };
        let mut listeners = vec![with(json!({ "name": "http", "protocol": "HTTP", "port": HTTP }), &routes)];
        let mut foreign = BTreeSet::new();
        for (host, Certificate { namespace: of, secret, spot }) in &self.0 {
            let by_convention = format!("{}-tls", name(host).trim_start_matches("https-"));
            if secret.is_none() {
                let host = if host.is_empty() { "every host" } else { host };
                let message = format!(
                    "no Secret is named: put the certificate of {host} into {namespace}/{by_convention}"
                );
                remarks.differs(spot, message);
            }
            let of = if secret.is_some() { of.as_str() } else { namespace };
            let secret = secret.as_deref().unwrap_or(&by_convention);
            let mut certificate = json!({ "name": secret });
            if of != namespace {
                certificate["namespace"] = json!(of);
                foreign.insert((of.to_owned(), secret.to_owned()));
            }
            let mut listener = json!({ "name": name(host), "protocol": "HTTPS", "port": HTTPS });
            if !host.is_empty() {
                listener["hostname"] = json!(host);
            }
            listener["tls"] = json!({ "certificateRefs": [certificate] });
            listeners.push(with(listener, &routes));
            if listeners.len() == MOST_LISTENERS + 1 {
                let message = format!(
                    "{host} and the hosts behind it: a Gateway has {MOST_LISTENERS} listeners at most"
                );
                remarks.lost(spot, message);
            }
        }
        listeners.truncate(MOST_LISTENERS);
        let gateway = json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": { "name": target.gateway, "namespace": namespace },
            "spec": { "gatewayClassName": target.class, "listeners": listeners },
        });
        let grants = foreign.into_iter().map(|(of, secret)| grant(&of, &secret, namespace));
        std::iter::once(gateway).chain(grants).collect()
    }
}

fn with(mut listener: Json, routes: &Json) -> Json {
    if !routes.is_null() {
        listener["allowedRoutes"] = routes.clone();
    }
    listener
}

/// A listener's name for a host.
fn name(host: &str) -> String {
    if host.is_empty() {
        return "https".to_owned();
    }
    format!("https-{}", host.replace('*', "wildcard").replace('.', "-"))
}

fn grant(namespace: &str, secret: &str, gateway: &str) -> Json {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1beta1",
        "kind": "ReferenceGrant",
        "metadata": { "name": format!("{secret}-to-gateway"), "namespace": namespace },
        "spec": {
            "from": [{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": gateway }],
            "to": [{ "group": "", "kind": "Secret", "name": secret }],
        },
    })
}
