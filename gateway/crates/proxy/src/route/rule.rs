use std::sync::Arc;

use http::StatusCode;
use ir::{HttpRule, ListenerId};

use super::Backends;
use crate::{
    filter::Filters,
    metrics::RuleMetrics,
    snapshot::{Builder, Upstream},
};

/// One rule of one listener, compiled.
pub(crate) struct Rule {
    /// What it was built from.
    pub(crate) config: Arc<HttpRule>,
    /// Its header edits.
    pub(crate) filters: Filters,
    /// What happens after the filters.
    pub(crate) action: Action,
    /// Its metric handles.
    pub(crate) metrics: Arc<RuleMetrics>,
}

/// What happens to a request after the filters.
pub(crate) enum Action {
    /// Goes to one of these.
    Forward(Backends),
    /// Answered at once.
    Respond(StatusCode),
}

impl Rule {
    /// Compiles a rule.
    pub(super) fn build(config: &Arc<HttpRule>, listener: &ListenerId, builder: &mut Builder<'_>) -> Self {
        let action = match &config.action {
            ir::Action::Forward(choices) => Action::Forward(Backends::build(choices, builder)),
            ir::Action::Respond(status) => {
                Action::Respond(StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
            }
        };
        Self {
            config: Arc::clone(config),
            filters: Filters::compile(&config.filters, builder),
            action,
            metrics: builder.carry.metrics.rule(listener, &config.id),
        }
    }

    /// The upstream that [`Backends::pick`] has drawn.
    pub(crate) fn upstream(&self, place: usize) -> Option<&Arc<Upstream>> {
        match &self.action {
            Action::Forward(backends) => backends.share(place)?.upstream.as_ref(),
            Action::Respond(_) => None,
        }
    }
}
