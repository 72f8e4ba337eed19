use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{
    super::{object::Object, remarks::Remarks, services::Services, spot::Spot},
    headers::tell,
    table::SERVICE,
};

/// What HTTP/2 in clear text is called at a Service's port (KEP-3726).
const H2C: &str = "kubernetes.io/h2c";

/// Where the services of a route lead: Services, and TraefikServices among the files.
#[derive(Debug)]
pub(super) struct Backends<'a, 's> {
    services: &'s Services<'s>,
    weighted: BTreeMap<(&'a str, &'a str), Spot<'a>>,
}

/// TraefikServices in one another.
const DEEPEST: usize = 8;

/// The most that a weight may be.
const MOST_WEIGHT: u64 = 1_000_000;

/// A backend with its share, as a fraction of all.
#[derive(Clone, Debug)]
struct Share {
    backend: Json,
    weight: u64,
}

impl<'a, 's> Backends<'a, 's> {
    pub(super) fn of(objects: &'a [Object<'a>], groups: &[&str], services: &'s Services<'s>) -> Self {
        let all = objects.iter().filter(|object| object.is(groups, "TraefikService"));
        let spec = |object: &'a Object<'a>| Spot::root(object).field("spec");
        let weighted =
            all.filter_map(|object| Some(((&*object.id.namespace, &*object.id.name), spec(object)?)));
        Self { services, weighted: weighted.collect() }
    }

    /// The backends of a list of services. `None`: one of them has no counterpart, so that the shares would be others.
    pub(super) fn documents(
        &self,
        list: &[Spot<'_>],
        namespace: &str,
        remarks: &mut Remarks,
    ) -> Option<Vec<Json>> {
        let shares = self.shares(list, (namespace, namespace), 0, remarks)?;
        let alone = shares.len() == 1;
        let document = |Share { mut backend, weight }: Share| {
            if !alone {
                backend["weight"] = json!(weight.min(MOST_WEIGHT));
            }
            backend
        };
        Some(shares.into_iter().map(document).collect())
    }

    /// `here`: the namespace of the route, and that of what names the services.
    fn shares(
        &self,
        list: &[Spot<'_>],
        here: (&str, &str),
        depth: usize,
        remarks: &mut Remarks,
    ) -> Option<Vec<Share>> {
        let mut all = Vec::new();
        for service in list {
            let shares = self.service(service, here, depth, remarks)?;
            let weight = service.text_of("weight").and_then(|weight| weight.parse().ok()).unwrap_or(1);
            all.push((weight, shares));
        }
        Some(scaled(all))
    }

    fn service(
        &self,
        service: &Spot<'_>,
        here: (&str, &str),
        depth: usize,
        remarks: &mut Remarks,
    ) -> Option<Vec<Share>> {
        let (route, own) = here;
        let name = service.text_of("name").unwrap_or_default();
        let namespace = service.text_of("namespace").unwrap_or(own);
        if service.text_of("kind") == Some("TraefikService") {
            let inner = self.weighted.get(&(namespace, name)).filter(|_| depth < DEEPEST);
            let list = inner.and_then(|spec| spec.at(&["weighted", "services"])).map(|list| list.items());
            let Some(list) = list else {
                remarks.lost(
                    service,
                    format!("TraefikService {namespace}/{name} is no weighted one among the files"),
                );
                return None;
            };
            return self.shares(&list, (route, namespace), depth + 1, remarks);
        }
        tell(service, SERVICE, remarks);
        let Some(port) = service.field("port") else {
            remarks.lost(service, format!("an HTTPRoute needs the port of Service {name}"));
            return None;
        };
        let port = self.services.port((namespace, name), &port, remarks)?;
        self.tell_protocol(service, (namespace, name), port, remarks);
        let mut backend = json!({ "name": name });
        if namespace != route {
            backend["namespace"] = json!(namespace);
            let message = format!(
                "Service {namespace}/{name} is in another namespace: it needs a ReferenceGrant there"
            );
            remarks.differs(service, message);
        }
        backend["port"] = json!(port);
        Some(vec![Share { backend, weight: 1 }])
    }

    fn tell_protocol(&self, service: &Spot<'_>, name: (&str, &str), port: u16, remarks: &mut Remarks) {
        let Some(scheme) = service.field("scheme") else { return };
        match scheme.text() {
            Some("h2c") if self.services.protocol(name, port) != Some(H2C) => {
                remarks.differs(
                    &scheme,
                    format!("port {port} of Service {} must say `appProtocol: {H2C}`", name.1),
                );
            }
            Some("http" | "h2c") | None => {}
            Some(_) => {
                remarks.lost(
                    &scheme,
                    "left out: TLS to backends is BackendTLSPolicy's: write one for the Service",
                );
            }
        }
    }
}

/// Shares of shares, in whole numbers.
fn scaled(all: Vec<(u64, Vec<Share>)>) -> Vec<Share> {
    let sum = |shares: &[Share]| shares.iter().map(|share| share.weight).sum::<u64>().max(1);
    let common = all.iter().fold(1, |common: u64, (_, shares)| lcm(common, sum(shares)));
    let part = |(weight, shares): (u64, Vec<Share>)| {
        let factor = weight.saturating_mul(common / sum(&shares));
        shares.into_iter().map(move |share| Share { weight: share.weight.saturating_mul(factor), ..share })
    };
    all.into_iter().flat_map(part).collect()
}

fn lcm(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b)
}
