use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use http::{Method, request::Parts};
use ir::HttpRule;

use super::{Rule, conditions::Request, table::Table};
use crate::{
    error::ProxyError,
    snapshot::{Builder, HostIndex},
};

/// The rules of one listener.
pub(crate) struct Router {
    hosts: HostIndex,
    tables: Box<[Table]>,
    rules: Box<[Rule]>,
}

/// Names a rule within one router: what a request keeps of its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RuleKey(u32);

impl Router {
    /// Indexes the rules of a listener.
    pub(crate) fn build(listener: &ir::Listener, builder: &mut Builder<'_>) -> Self {
        let mut rules = Vec::new();
        let mut keys: HashMap<*const HttpRule, RuleKey> = HashMap::new();
        let mut key = |rule: &Arc<HttpRule>| match keys.entry(Arc::as_ptr(rule)) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                rules.push(Rule::build(rule, &listener.id, builder));
                // A configuration of 2^32 rules does not fit any file budget.
                *entry.insert(RuleKey(rules.len() as u32 - 1))
            }
        };
        let tables = listener.hosts.iter().map(|host| Table::build(host, &mut key)).collect();
        let hosts = HostIndex::build(listener.hosts.iter().map(|host| host.hostname.as_ref()));
        Self { hosts, tables, rules: rules.into() }
    }

    /// The rule of a request. `host` is [`host_name`](super::host_name) of its authority; `None`: it has none.
    /// A request whose host falls under one virtual host is never tried against a less specific one.
    pub(crate) fn find(&self, host: Option<&str>, head: &Parts) -> Result<RuleKey, ProxyError> {
        let table = self.host(host).map(|place| &self.tables[place]);
        table.and_then(|table| table.find(&Request::new(head))).ok_or_else(|| {
            if needs_naming(&head.method) { ProxyError::MethodNotNamed } else { ProxyError::NoRoute }
        })
    }

    /// The place of the virtual host that a name falls under.
    pub(crate) fn host(&self, host: Option<&str>) -> Option<usize> {
        self.hosts.find(host)
    }

    /// A rule of this router.
    pub(crate) fn rule(&self, key: RuleKey) -> &Rule {
        &self.rules[key.0 as usize]
    }
}

/// True for the methods that only a match which names them serves: TRACE shows a client's header to whoever
/// can send a request in its name (RFC 9110 §9.3.8), CONNECT asks for a tunnel. Where no rule is found for
/// one, the answer is 405 instead of 404.
pub(super) fn needs_naming(method: &Method) -> bool {
    *method == Method::TRACE || *method == Method::CONNECT
}
