use std::fmt;

use serde::{Deserialize, Serialize};

use crate::explain::{Behind, answer::by};

/// What would become of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestAnswer {
    /// As it was asked for.
    pub(crate) method: String,
    /// Likewise.
    pub(crate) url: String,
    /// Who would send it; missing: it was not said, and connections are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<String>,
    /// The configuration in force; missing: the files were read, and nobody serves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u64>,
    /// One for each port that may be meant; none where no listener is.
    pub(crate) courses: Vec<CourseLine>,
    /// True: on each of them a rule answers, or a backend may.
    pub(crate) answered: bool,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// A request's way on one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CourseLine {
    /// `0.0.0.0:8080/TCP`.
    pub(crate) listening: String,
    /// `namespace/gateway/listener`; missing: none has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listener: Option<String>,
    /// Where the listener stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) behind: Option<Behind>,
    /// The policies that govern it, and where each stands.
    pub(crate) policies: Vec<Behind>,
    /// The name that decides; missing: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<String>,
    /// Path and query as rules see them; missing: they are not made normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// The match that it falls under; missing: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) matched: Option<MatchLine>,
    /// The next rule that would have it; its `why` says what puts it behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<MatchLine>,
    /// Matches that nearly fit: those before the one found, or the closest of all where none is.
    pub(crate) near: Vec<MatchLine>,
    /// What the rule does to it, in its order.
    pub(crate) filters: Vec<String>,
    /// Timeouts and retries of the rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<String>,
    /// `forwarded`, `responds`, `preflight`, `redirected`, `refused`, `not_connected`.
    pub(crate) ending: String,
    /// What the client is answered; missing where a backend decides, or nobody answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Why it is refused, or where the client is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// Where it may go.
    pub(crate) backends: Vec<BackendLine>,
}

/// A match of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MatchLine {
    /// `namespace/name`.
    pub(crate) route: String,
    /// Its name, else its place.
    pub(crate) rule: String,
    /// `namespace/gateway/listener`.
    pub(crate) listener: String,
    /// Under which hostname; missing: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<String>,
    /// What it asks for.
    pub(crate) asks: String,
    /// What is not so, or what puts it behind another; none: it matches.
    pub(crate) why: Vec<String>,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) behind: Option<Behind>,
}

/// One of the backends that a request may go to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackendLine {
    /// As manifests name it; missing: its reference does not resolve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) backend: Option<String>,
    /// Its share of...
    pub(crate) weight: u32,
    /// ...so many.
    pub(crate) of: u64,
    /// Its endpoints.
    pub(crate) endpoints: Vec<String>,
    /// What the backendRef does to the request, after the rule.
    pub(crate) filters: Vec<String>,
    /// Host and target that it is asked for; missing: it is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked: Option<String>,
    /// Why it is not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
    /// Where the reference stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) behind: Option<Behind>,
}

/// For people.
impl fmt::Display for RequestAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, url, from, generation, courses, answered: _, notes } = self;
        write!(f, "{method} {url}")?;
        if let Some(from) = from {
            write!(f, " from {from}")?;
        }
        match generation {
            Some(generation) => writeln!(f, ", generation {generation} in force")?,
            None => writeln!(f, ", as the files would have it")?,
        }
        courses.iter().try_for_each(|course| course.fmt(f))?;
        notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

impl fmt::Display for CourseLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "is for {}", self.listening)?;
        match &self.listener {
            Some(listener) => writeln!(f, "listener {listener}{}", by(self.behind.as_ref()))?,
            None => writeln!(f, "no listener")?,
        }
        for policy in &self.policies {
            writeln!(f, "  policy {}, {}", policy.object, policy.origin)?;
        }
        if let Some(target) = &self.target {
            let host = self.host.as_ref().map_or_else(|| "no host".to_owned(), |host| format!("host {host}"));
            writeln!(f, "asks for {target} of {host}")?;
        }
        if let Some(found) = &self.matched {
            writeln!(f, "rule {found}")?;
        }
        for near in &self.near {
            writeln!(f, "  not {near}")?;
        }
        if let Some(next) = &self.next {
            writeln!(f, "  before {next}")?;
        }
        for filter in &self.filters {
            writeln!(f, "  filter {filter}")?;
        }
        if let Some(limits) = &self.limits {
            writeln!(f, "  {limits}")?;
        }
        self.end(f)
    }
}

impl CourseLine {
    fn end(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
        match self.status {
            Some(status) => writeln!(f, "answered {status}, {}{detail}", self.ending)?,
            None => writeln!(f, "{}{detail}", self.ending.replace('_', " "))?,
        }
        self.backends.iter().try_for_each(|backend| writeln!(f, "  {backend}"))
    }
}

impl fmt::Display for MatchLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { route, rule, listener: _, hostname, asks, why, behind } = self;
        write!(f, "{route}/{rule}")?;
        if let Some(hostname) = hostname {
            write!(f, " of {hostname}")?;
        }
        write!(f, " ({asks})")?;
        if !why.is_empty() {
            write!(f, ": {}", why.join("; "))?;
        }
        f.write_str(&by(behind.as_ref()))
    }
}

impl fmt::Display for BackendLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, weight, of, endpoints, filters, asked, problem, behind } = self;
        write!(f, "{weight} of {of} to {}", backend.as_deref().unwrap_or("a backend that does not resolve"))?;
        if !endpoints.is_empty() {
            write!(f, " at {}", endpoints.join(", "))?;
        }
        for filter in filters {
            write!(f, ", {filter}")?;
        }
        if let Some(asked) = asked {
            write!(f, ", asked for {asked}")?;
        }
        if let Some(problem) = problem {
            write!(f, ": {problem}")?;
        }
        f.write_str(&by(behind.as_ref()))
    }
}
