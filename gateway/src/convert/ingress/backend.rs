use serde_json::{Value as Json, json};

use super::super::{remarks::Remarks, services::Services, spot::Spot};

/// The backend of a path in either form: `service.name` and `service.port`, or `serviceName` and `servicePort` of the time
/// before networking.k8s.io/v1. `None`: it was said why.
pub(super) fn backend(spot: &Spot<'_>, services: &Services<'_>, remarks: &mut Remarks) -> Option<Backend> {
    let namespace = &*spot.object.id.namespace;
    let (name, port) = if let Some(service) = spot.field("service") {
        let port = service.at(&["port", "number"]).or_else(|| service.at(&["port", "name"]));
        (service.text_of("name")?.to_owned(), port)
    } else if let Some(name) = spot.field("serviceName") {
        let version = spot.object.version;
        if version == "v1" {
            let message = format!(
                "`serviceName` and `servicePort` are the form of before {}/v1; read as `service.name` and `service.port`",
                spot.object.id.group
            );
            remarks.old_form(&name, message);
        }
        (name.text()?.to_owned(), spot.field("servicePort"))
    } else if let Some(resource) = spot.field("resource") {
        remarks.lost(&resource, "a backend that is no Service has no counterpart");
        return None;
    } else {
        remarks.lost(spot, "names no Service");
        return None;
    };
    let Some(port) = port else {
        remarks.lost(spot, format!("an HTTPRoute needs the port of Service {name}"));
        return None;
    };
    let port = services.port((namespace, &name), &port, remarks)?;
    Some(Backend { service: name, port })
}

/// A Service and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backend {
    pub(super) service: String,
    pub(super) port: u16,
}

impl Backend {
    pub(super) fn document(&self) -> Json {
        json!({ "name": self.service, "port": self.port })
    }
}
