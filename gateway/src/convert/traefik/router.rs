use super::super::{object::Object, route::Listeners, rule::Rule};

/// One alternative of a router under one host, as Traefik tries it.
#[derive(Clone, Debug)]
pub(super) struct Router<'a> {
    pub(super) object: &'a Object<'a>,
    /// `None`: every host.
    pub(super) host: Option<String>,
    pub(super) listeners: Listeners,
    /// The highest is tried first: what is given, or the length of the rule.
    pub(super) priority: i64,
    /// Its place among all.
    pub(super) place: usize,
    pub(super) rule: Rule<'a>,
}
