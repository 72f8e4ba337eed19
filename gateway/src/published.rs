//! What is in force, as `gateway status` and the admin page show it.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context as _, Result, ensure};
use manifest::Diagnostic;
use proxy::Explainer;
use serde::{Deserialize, Serialize};
use translate::{EffectiveLimit, Origins};

use crate::{
    digest::Digests,
    explain::{Answer, Asked, AskedRequest, Context, RequestAnswer, Running},
    kernel,
    lock::Lock,
    status_store::ObjectStatus,
    whole_file,
};

const NAME: &str = "state.json";

/// The content of `{runtime-dir}/state.json`, written after the data plane serves what it tells of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State {
    /// Of the program.
    pub(crate) version: String,
    /// The process.
    pub(crate) pid: u32,
    /// Rises with every published configuration.
    pub(crate) generation: u64,
    /// When it was published, RFC 3339.
    pub(crate) published: String,
    /// What is read.
    pub(crate) config_dir: PathBuf,
    /// The admin page.
    pub(crate) admin: SocketAddr,
    /// Each address that is listened on, or why it is not.
    pub(crate) listeners: Vec<ListenerLine>,
    /// What decides which connections are served, by listener, with who has said so.
    #[serde(default)]
    pub(crate) limits: Vec<LimitLine>,
    /// The kernel half in one line: tiers per interface, or why there is none.
    pub(crate) kernel: String,
    /// Digest of each file that was read.
    pub(crate) files: Digests,
    /// What is wrong with the files.
    pub(crate) diagnostics: Vec<DiagnosticLine>,
}

/// One listening address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListenerLine {
    /// `0.0.0.0:8080/TCP`.
    pub(crate) address: String,
    /// `namespace/gateway:port/TCP`.
    pub(crate) bind: String,
    /// Why it does not listen; missing if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// One value that decides which connections a listener serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LimitLine {
    /// `namespace/gateway/listener`.
    pub(crate) listener: String,
    /// `spec.concurrentConnections.perSource.limit`.
    pub(crate) field: String,
    /// For people.
    pub(crate) value: String,
    /// `Kind namespace/name` of the policy.
    pub(crate) policy: String,
    /// `file:line:column`.
    pub(crate) origin: String,
}

impl From<&EffectiveLimit> for LimitLine {
    fn from(limit: &EffectiveLimit) -> Self {
        let EffectiveLimit { listener, field, value, policy, origin } = limit;
        Self {
            listener: listener.to_string(),
            field: (*field).to_owned(),
            value: value.clone(),
            policy: policy.to_string(),
            origin: origin.to_string(),
        }
    }
}

/// A diagnostic as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiagnosticLine {
    /// `error`, `warning`, `note`.
    pub(crate) severity: String,
    /// `file:line:column`.
    pub(crate) origin: String,
    /// `Kind namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    /// `spec.listeners[0].port`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) field_path: String,
    /// CamelCase.
    pub(crate) reason: String,
    /// For people.
    pub(crate) message: String,
}

impl From<&Diagnostic> for DiagnosticLine {
    fn from(diagnostic: &Diagnostic) -> Self {
        let Diagnostic { severity, origin, object, field_path, reason, message } = diagnostic;
        Self {
            severity: format!("{severity:?}").to_lowercase(),
            origin: origin.to_string(),
            object: object.as_ref().map(ToString::to_string),
            field_path: field_path.clone(),
            reason: (*reason).to_owned(),
            message: message.clone(),
        }
    }
}

impl State {
    /// Written whole.
    pub(crate) fn write(&self, runtime_dir: &Path) -> io::Result<()> {
        whole_file::write(&runtime_dir.join(NAME), &serde_json::to_vec_pretty(self)?)
    }

    /// What a running or an ended process has written last.
    pub(crate) fn read(runtime_dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(runtime_dir.join(NAME))?)?)
    }

    /// What a running process has written last; fails where none runs.
    pub(crate) fn of_running(runtime_dir: &Path) -> Result<Self> {
        ensure!(
            Lock::is_held(runtime_dir),
            "no gateway runs with the runtime directory {}; --runtime-dir names another",
            runtime_dir.display()
        );
        Self::read(runtime_dir)
            .with_context(|| format!("the gateway has published nothing in {} yet", runtime_dir.display()))
    }
}

/// All that the admin page shows of one generation.
#[derive(Debug)]
pub(crate) struct Published {
    /// As in the file.
    pub(crate) state: State,
    /// The configuration in force.
    pub(crate) config: Arc<ir::Gateway>,
    /// The objects' statuses.
    pub(crate) statuses: Vec<Arc<ObjectStatus>>,
    /// Who has set which limit.
    pub(crate) limits: Vec<EffectiveLimit>,
    /// And the rest that a connection meets.
    pub(crate) origins: Origins,
    /// Knows what would become of a connection.
    pub(crate) explainer: Explainer,
    /// What the kernel half does.
    pub(crate) kernel: kernel::View,
}

impl Published {
    /// What would become of a connection. `None`: another configuration has come into force meanwhile.
    pub(crate) fn explain(&self, asked: &Asked) -> Option<Answer> {
        Some(self.context().answer(asked, &self.explainer.explain(&asked.0)?))
    }

    /// Likewise of a request.
    pub(crate) fn explain_request(&self, asked: &AskedRequest) -> Option<RequestAnswer> {
        let explanation = self.explainer.explain_request(asked.request())?;
        let connect = |question: &_| self.explainer.explain(question);
        Some(self.context().answer_request(asked, &explanation, connect))
    }

    fn context(&self) -> Context<'_> {
        let running = Running {
            generation: self.state.generation,
            listeners: &self.state.listeners,
            kernel: &self.kernel,
        };
        Context { config: &self.config, limits: &self.limits, origins: &self.origins, running: Some(running) }
    }
}

/// Where the reload loop puts what it has published, and the admin page finds it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Arc<RwLock<Option<Arc<Published>>>>);

impl Shown {
    /// Replaces it.
    pub(crate) fn put(&self, published: Published) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(published));
    }

    /// `None` before the first snapshot is published.
    pub(crate) fn latest(&self) -> Option<Arc<Published>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
