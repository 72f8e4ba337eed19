use std::sync::Arc;

use ir::SocketKey;
use proxy::Prepared;
use translate::{EffectiveLimit, Origins};

use super::Appliance;
use crate::{
    clock,
    desired::Desired,
    outcome::{self, Unbound},
    phases::{Phases, timed},
    published::{DiagnosticLine, LimitLine, ListenerLine, Published, State},
    status_store::ObjectStatus,
};

/// A configuration that has still to be published and told of.
pub(super) struct Coming {
    desired: Desired,
    config: Arc<ir::Gateway>,
    /// `None`: it is in force already.
    new: Option<(Prepared, Vec<Unbound>)>,
}

impl Coming {
    /// What publishing it puts in force.
    pub(super) fn prepared(&self) -> Option<&Prepared> {
        self.new.as_ref().map(|(prepared, _)| prepared)
    }
}

impl Appliance {
    /// Builds, binds, publishes and only then tells of it.
    pub(super) fn put_in_force(&mut self, desired: Desired) {
        let phases = desired.phases;
        let (mut coming, build) = timed(|| self.prepare(desired));
        let ((), publish) = timed(|| self.publish(&mut coming));
        let ((), tell) = timed(|| self.tell(coming));
        let phases = Phases { build, publish, tell, ..phases };
        self.metrics.took(&phases.named());
        self.kept.keep(self.proxy.listening());
    }

    /// Builds and binds. Nothing changes for clients, but that the kernel's limits are lower from here on.
    pub(super) fn prepare(&mut self, mut desired: Desired) -> Coming {
        self.overrides.lay_over(&mut desired.config.appliance);
        if self.generation > 0 {
            self.say_what_needs_a_restart(&desired.config.appliance);
        }
        let config = Arc::new(std::mem::take(&mut desired.config));
        self.said.say(&desired.diagnostics);
        let is_new = self.generation == 0 || *config != *self.config || !self.unbound.is_empty();
        let new = is_new.then(|| {
            self.generation += 1;
            let prepared = self.proxy.prepare(Arc::clone(&config), self.generation);
            let unbound = failures(&prepared, &config);
            self.kernel.tighten(&config);
            (prepared, unbound)
        });
        Coming { desired, config, new }
    }

    /// From here on clients see the new configuration.
    pub(super) fn publish(&mut self, coming: &mut Coming) {
        let config = &coming.config;
        let Some((prepared, mut unbound)) = coming.new.take() else { return self.metrics.unchanged() };
        for failure in self.proxy.publish(prepared) {
            let binds = config.binds.iter().filter(|bind| bind.sockets.contains(&failure.key));
            unbound.extend(binds.map(|bind| Unbound::new(bind.id.clone(), failure.key, &failure.reason)));
        }
        self.kernel.loosen();
        for failure in unbound.iter().filter(|failure| !self.unbound.contains(failure)) {
            tracing::error!(bind = %failure.bind, "{}", failure.message);
        }
        self.unbound = unbound;
        self.config = Arc::clone(config);
        self.metrics.published(config, self.generation);
        let addresses: Vec<String> = config
            .binds
            .iter()
            .flat_map(|bind| &bind.sockets)
            .filter(|key| !self.is_unbound(key))
            .map(SocketKey::to_string)
            .collect();
        tracing::info!(generation = self.generation, listening = addresses.join(" "), "published");
    }

    /// Writes statuses, and keeps what the next process must know.
    pub(super) fn tell(&mut self, coming: Coming) {
        let Coming {
            desired: Desired { files, config: _, statuses, limits, origins, services, diagnostics, phases: _ },
            config,
            ..
        } = coming;
        let (statuses, outcome) =
            self.store.publish(&statuses, |status| outcome::lay_over(status, &config, &self.unbound));
        if let Err(error) = outcome {
            tracing::error!(%error, "cannot write status files");
        }
        if let Err(error) = self.services.publish(&services, &config, &self.unbound) {
            tracing::error!(%error, "cannot write service files");
        }
        let state = State {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            generation: self.generation,
            published: clock::rfc3339(clock::now()),
            config_dir: self.places.config_dir.clone(),
            admin: self.admin.address(),
            listeners: self.listener_lines(&config),
            limits: limits.iter().map(LimitLine::from).collect(),
            kernel: self.kernel.line(),
            files,
            diagnostics: diagnostics.iter().map(DiagnosticLine::from).collect(),
        };
        self.show(state, statuses, limits, origins);
        self.source.remember();
    }

    fn show(
        &self,
        state: State,
        statuses: Vec<Arc<ObjectStatus>>,
        limits: Vec<EffectiveLimit>,
        origins: Origins,
    ) {
        if let Err(error) = state.write(&self.places.runtime_dir) {
            tracing::error!(%error, "cannot write what is in force to the runtime directory");
        }
        let (config, explainer) = (Arc::clone(&self.config), self.proxy.explainer());
        let kernel = self.kernel.view();
        self.shown.put(Published { state, config, statuses, limits, origins, explainer, kernel });
    }

    fn is_unbound(&self, key: &SocketKey) -> bool {
        self.unbound.iter().any(|unbound| unbound.key == *key)
    }

    fn listener_lines(&self, config: &ir::Gateway) -> Vec<ListenerLine> {
        let sockets = config.binds.iter().flat_map(|bind| bind.sockets.iter().map(move |key| (bind, key)));
        let line = |(bind, key): (&ir::Bind, &SocketKey)| {
            let failure = self.unbound.iter().find(|unbound| unbound.bind == bind.id && unbound.key == *key);
            ListenerLine {
                address: key.to_string(),
                bind: bind.id.to_string(),
                error: failure.map(|failure| failure.message.clone()),
            }
        };
        sockets.map(line).collect()
    }
}

/// What could not be bound and somebody has asked for.
fn failures(prepared: &Prepared, config: &ir::Gateway) -> Vec<Unbound> {
    let mut all = Vec::new();
    for (id, key, outcome) in prepared.bind_outcomes() {
        let Err(failure) = outcome else { continue };
        let bind = config.binds.iter().find(|bind| bind.id == *id);
        if bind.is_some_and(|bind| outcome::is_expected(bind, key, &failure.reason)) {
            tracing::debug!(%key, error = %failure.reason, "this host has no IPv6");
        } else {
            all.push(Unbound::new(id.clone(), *key, &failure.reason));
        }
    }
    all
}
