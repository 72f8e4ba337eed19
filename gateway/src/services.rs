//! One file per Gateway that is served: `{runtime-dir}/services/NAMESPACE/GATEWAY.json`, the Service that a controller
//! in a cluster would make for it. Whoever looks after names, firewalls or monitoring around this host finds there which
//! ports are served at which addresses, under the labels and annotations of the Gateway's `infrastructure`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use translate::GatewayService;

use crate::{outcome::Unbound, whole_file};

/// The directory, and what is in it.
#[derive(Debug)]
pub(crate) struct ServiceStore {
    directory: PathBuf,
    written: BTreeMap<PathBuf, Vec<u8>>,
}

impl ServiceStore {
    /// Reads what an earlier process left, so that files of Gateways that have gone go too.
    pub(crate) fn open(runtime_dir: &Path) -> Self {
        let directory = runtime_dir.join("services");
        let below = |directory: &Path| {
            fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let namespaces: Vec<PathBuf> = below(&directory);
        let files = namespaces.iter().flat_map(|namespace| -> Vec<PathBuf> { below(namespace) });
        let written = files.filter_map(|path| fs::read(&path).ok().map(|text| (path, text))).collect();
        Self { directory, written }
    }

    /// Makes the directory hold exactly these: changed files are written whole and renamed. Ports that could not be
    /// listened on are left out, and a Gateway without any other has no file. The first error is returned.
    pub(crate) fn publish(
        &mut self,
        services: &[GatewayService],
        config: &ir::Gateway,
        unbound: &[Unbound],
    ) -> io::Result<()> {
        let mut outcome = Ok(());
        let mut wanted = BTreeMap::new();
        for service in services {
            let ports: Vec<u16> = service
                .ports
                .iter()
                .filter(|(_, bind)| !is_bound_nowhere(bind, config, unbound))
                .map(|(port, _)| *port)
                .collect();
            // No file has a longer name.
            if ports.is_empty() || service.gateway.len() > 250 {
                continue;
            }
            let text = serde_json::to_vec_pretty(&document(service, &ports)).unwrap_or_default();
            wanted.insert(self.path(service), text);
        }
        for path in self.written.keys().filter(|path| !wanted.contains_key(*path)) {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(path = %path.display(), %error, "cannot remove a service file");
            }
        }
        self.written.retain(|path, _| wanted.contains_key(path));
        for (path, text) in wanted {
            if self.written.get(&path) != Some(&text) {
                match whole_file::write(&path, &text) {
                    Ok(()) => drop(self.written.insert(path, text)),
                    Err(error) => outcome = outcome.and(Err(error)),
                }
            }
        }
        outcome
    }

    fn path(&self, service: &GatewayService) -> PathBuf {
        self.directory.join(&service.namespace).join(format!("{}.json", service.gateway))
    }
}

fn is_bound_nowhere(id: &ir::BindId, config: &ir::Gateway, unbound: &[Unbound]) -> bool {
    let bind = config.binds.iter().find(|bind| bind.id == *id);
    let is_missing = |key: &ir::SocketKey| unbound.iter().any(|other| other.bind == *id && other.key == *key);
    bind.is_none_or(|bind| bind.sockets.iter().all(is_missing))
}

/// The name is the one that Gateway API recommends (GEP-1762).
fn document(service: &GatewayService, ports: &[u16]) -> Value {
    let GatewayService { namespace, gateway, class, labels, annotations, addresses, ports: _ } = service;
    let ports: Vec<Value> = ports
        .iter()
        .map(|port| json!({"name": format!("tcp-{port}"), "port": port, "protocol": "TCP"}))
        .collect();
    let ingress: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": format!("{gateway}-{class}"),
            "namespace": namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {"type": "LoadBalancer", "ports": ports},
        "status": {"loadBalancer": {"ingress": ingress}},
    })
}

#[cfg(test)]
mod tests;
