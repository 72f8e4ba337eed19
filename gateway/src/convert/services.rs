use std::collections::BTreeMap;

use super::{object::Object, remarks::Remarks, spot::Spot};

/// What is known of Services: HTTPRoutes name ports by number only, and a Service says what its backends speak.
#[derive(Debug, Default)]
pub(super) struct Services<'a>(BTreeMap<(&'a str, &'a str), Vec<Port<'a>>>);

#[derive(Debug)]
struct Port<'a> {
    name: Option<&'a str>,
    number: u16,
    protocol: Option<&'a str>,
}

impl<'a> Services<'a> {
    pub(super) fn of(objects: &'a [Object<'a>]) -> Self {
        let services = objects.iter().filter(|object| object.is(&[""], "Service"));
        let ports = services.map(|service| {
            let spec = Spot::root(service).field("spec");
            let ports = spec.iter().flat_map(|spec| spec.list("ports")).filter_map(|port| {
                let number = port.text_of("port")?.parse().ok()?;
                Some(Port { name: port.text_of("name"), number, protocol: port.text_of("appProtocol") })
            });
            ((&*service.id.namespace, &*service.id.name), ports.collect())
        });
        Self(ports.collect())
    }

    /// The number of a port that is written as a number or a name. `None`: it was said why not.
    pub(super) fn port(
        &self,
        (namespace, service): (&str, &str),
        port: &Spot<'_>,
        remarks: &mut Remarks,
    ) -> Option<u16> {
        let text = port.text().unwrap_or_default();
        if let Ok(number @ 1..) = text.parse() {
            return Some(number);
        }
        let known = self.0.get(&(namespace, service));
        let found = known.and_then(|ports| ports.iter().find(|port| port.name == Some(text)));
        if found.is_none() {
            let why = match known {
                Some(ports) => {
                    let names = ports.iter().filter_map(|port| port.name);
                    format!(
                        "Service {service} has no port of that name{}",
                        manifest::did_you_mean(text, names)
                    )
                }
                None => format!("its number is in Service {service}, which is not among the files"),
            };
            remarks.lost(port, format!("port `{text}`: an HTTPRoute needs the number, and {why}"));
        }
        found.map(|port| port.number)
    }

    /// `appProtocol` of a port, as far as the Service is known.
    pub(super) fn protocol(&self, service: (&str, &str), number: u16) -> Option<&'a str> {
        self.0.get(&service)?.iter().find(|port| port.number == number)?.protocol
    }
}
