use ir::Appliance;
use manifest::{ManifestSet, Object, Severity, kind};

use crate::{
    index::{InForce, seniority},
    report::{Report, line},
    status::{ApplianceReason, Reason},
};

/// An Appliance object, and the older one that is in force in its place.
#[derive(Debug)]
pub(crate) struct ApplianceState<'a> {
    pub(crate) object: &'a Object<kind::Appliance>,
    pub(crate) conflict: Option<(ApplianceReason, String)>,
}

/// The settings in force: those of the oldest object, equal ages by name, with defaults filled in.
pub(crate) fn appliances<'a>(
    set: &'a ManifestSet,
    report: &mut Report,
) -> (Appliance, Vec<ApplianceState<'a>>) {
    let mut all: Vec<_> = set.appliances.iter().filter_map(InForce::of).collect();
    all.sort_by_key(|appliance| seniority(appliance.object));
    let first = all.first().copied();
    let states = all.iter().enumerate().map(|(place, appliance)| {
        let conflict = (place > 0).then(|| {
            let older = first.map_or("", |first| &*first.object.id.name);
            let message =
                format!("Appliance {older} is in force: one object is, the oldest, equal ages go by name.");
            report.add(
                Severity::Error,
                appliance.object,
                "",
                ApplianceReason::Conflicted.text(),
                line(&message),
            );
            (ApplianceReason::Conflicted, message)
        });
        ApplianceState { object: appliance.object, conflict }
    });
    let states = states.collect();
    (first.map_or_else(Appliance::default, |first| settings(first.spec)), states)
}

fn settings(spec: &kind::Appliance) -> Appliance {
    let kind::Appliance {
        addresses,
        workers,
        admin,
        kernel,
        proxy_protocol,
        controller_names,
        max_connections,
        log,
    } = spec;
    let default = Appliance::default();
    let log = log.unwrap_or_default();
    Appliance {
        addresses: addresses.clone(),
        workers: workers.map(usize::from),
        admin: admin.and_then(|admin| admin.address).unwrap_or(default.admin),
        kernel: kernel.clone().unwrap_or(default.kernel),
        trusted_proxy_senders: proxy_protocol
            .as_ref()
            .and_then(|proxy| proxy.trusted_senders.clone())
            .unwrap_or(default.trusted_proxy_senders),
        controller_names: controller_names.clone().unwrap_or(default.controller_names),
        max_connections: max_connections.unwrap_or(default.max_connections),
        log_format: log.format.unwrap_or(default.log_format),
        access_log: log.access.unwrap_or(default.access_log),
    }
}
