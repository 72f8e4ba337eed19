use manifest::{
    Object, ObjectId, Origin, Severity,
    kind::{Gateway, Listener, ListenerSet},
};

use crate::{grants::Referrer, report::Report};

/// The object in whose manifest a listener stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner<'a> {
    Gateway(&'a Object<Gateway>),
    Set(&'a Object<ListenerSet>),
}

impl<'a> Owner<'a> {
    pub(crate) fn id(self) -> &'a ObjectId {
        match self {
            Self::Gateway(object) => &object.id,
            Self::Set(object) => &object.id,
        }
    }

    /// Its listeners as they are written.
    pub(super) fn specs(self) -> &'a [Listener] {
        match self {
            Self::Gateway(object) => object.spec.in_force().map(|spec| spec.listeners.as_slice()),
            Self::Set(object) => object.spec.in_force().map(|spec| spec.listeners.as_slice()),
        }
        .unwrap_or_default()
    }

    /// Who refers to what a listener names: a Gateway's grants are not those of its sets, nor the other way round.
    pub(crate) fn referrer(self) -> Referrer<'a> {
        match self {
            Self::Gateway(object) => Referrer::of(object),
            Self::Set(object) => Referrer::of(object),
        }
    }

    pub(crate) fn field_origin(self, path: &str) -> Origin {
        match self {
            Self::Gateway(object) => object.field_origin(path),
            Self::Set(object) => object.field_origin(path),
        }
    }

    pub(super) fn report(
        self,
        report: &mut Report,
        severity: Severity,
        path: &str,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        match self {
            Self::Gateway(object) => report.add(severity, object, path, reason, message),
            Self::Set(object) => report.add(severity, object, path, reason, message),
        }
    }
}
