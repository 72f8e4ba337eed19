use std::{net::IpAddr, sync::Arc};

use ir::{CertifiedKey, ClientValidation, Protocol};
use manifest::{
    Severity, did_you_mean,
    kind::{GATEWAY_GROUP, Listener, ListenerTls, SecretReference},
};

use super::Owner;
use crate::{
    grants::{Referent, Referrer},
    index::Index,
    report::{Report, ended, line},
    status::{ListenerReason, Reason},
};

/// The one kind of routes that HTTP and HTTPS listeners take.
pub(crate) const ROUTE_KIND: (&str, &str) = (GATEWAY_GROUP, "HTTPRoute");

/// A listener and all that decides whether it is served.
#[derive(Debug)]
pub(crate) struct ListenerState<'a> {
    pub(crate) spec: &'a Listener,
    pub(crate) owner: Owner<'a>,
    /// Its place in its owner's list.
    number: usize,
    /// Present unless refused.
    pub(crate) protocol: Option<Protocol>,
    /// Accepted is False.
    pub(crate) refusal: Option<(ListenerReason, String)>,
    /// Conflicted is True.
    pub(crate) conflict: Option<(ListenerReason, String)>,
    /// ResolvedRefs is False.
    pub(crate) unresolved: Option<(ListenerReason, String)>,
    /// OverlappingTLSConfig is True.
    pub(crate) overlap: Option<(ListenerReason, String)>,
    /// Programmed is False: an older Gateway has the port of every address.
    pub(crate) port_taken: Option<String>,
    /// The Gateway's addresses on which the port is the Gateway's.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) certificates: Vec<Arc<CertifiedKey>>,
    /// What clients are asked for.
    pub(crate) client_validation: Option<ClientValidation>,
    /// HTTPRoutes may attach.
    pub(crate) takes_routes: bool,
}

impl<'a> ListenerState<'a> {
    /// Every listener of an object, each judged by itself.
    pub(super) fn all(
        owner: Owner<'a>,
        specs: &'a [Listener],
        index: &Index<'a>,
        report: &mut Report,
    ) -> Vec<ListenerState<'a>> {
        let listeners = specs.iter().enumerate();
        listeners.map(|(number, spec)| Self::alone(owner, number, spec, index, report)).collect()
    }

    /// Says with its place what the conditions say; references have been said already.
    pub(super) fn explain(&self, report: &mut Report) {
        let path = self.path();
        let mut say = |severity, field: &str, reason: ListenerReason, message: &str| {
            self.owner.report(report, severity, &format!("{path}.{field}"), reason.text(), line(message));
        };
        // What is wrong with references has been said.
        let objection = self.objection();
        let objection = objection.filter(|(reason, _)| *reason != ListenerReason::NoValidCACertificate);
        if let Some((reason, message)) = objection {
            let field = match reason {
                ListenerReason::UnsupportedProtocol => "protocol",
                ListenerReason::Invalid => "tls",
                _ => "port",
            };
            say(Severity::Error, field, *reason, message);
        }
        if let Some((reason @ ListenerReason::InvalidRouteKinds, message)) = &self.unresolved {
            say(Severity::Error, "allowedRoutes.kinds", *reason, message);
        }
        if let Some((reason, message)) = &self.overlap {
            say(Severity::Warning, "hostname", *reason, message);
        }
        if let Some(message) = &self.port_taken {
            say(Severity::Error, "port", ListenerReason::PortUnavailable, message);
        }
    }

    /// Where it stands in its owner: `spec.listeners[0]`.
    pub(crate) fn path(&self) -> String {
        format!("spec.listeners[{}]", self.number)
    }

    /// What it is called in a message to the people of `reader`: `namespace/owner/name` where it stands in another
    /// object.
    pub(crate) fn name_for(&self, reader: Owner<'_>) -> String {
        let owner = self.owner.id();
        if owner == reader.id() {
            return self.spec.name.clone();
        }
        format!("{}/{}/{}", owner.namespace, owner.name, self.spec.name)
    }

    /// Why Accepted is False. Beside another listener it could not be served even if it were right.
    pub(crate) fn objection(&self) -> Option<&(ListenerReason, String)> {
        self.conflict.as_ref().or(self.refusal.as_ref())
    }

    /// Whether it is accepted; certificates and addresses are other questions.
    pub(crate) fn is_valid(&self) -> bool {
        self.objection().is_none()
    }

    /// Whether it can be served; the address is another question.
    pub(crate) fn is_complete(&self) -> bool {
        let has_certificate = self.protocol != Some(Protocol::Https) || !self.certificates.is_empty();
        self.is_valid() && has_certificate && self.takes_routes
    }

    /// Whether requests are served.
    pub(crate) fn is_programmed(&self) -> bool {
        self.is_complete() && !self.addresses.is_empty()
    }

    fn alone(
        owner: Owner<'a>,
        number: usize,
        spec: &'a Listener,
        index: &Index<'a>,
        report: &mut Report,
    ) -> Self {
        let mut state = Self {
            spec,
            owner,
            number,
            protocol: None,
            refusal: None,
            conflict: None,
            unresolved: None,
            overlap: None,
            port_taken: None,
            addresses: Vec::new(),
            certificates: Vec::new(),
            client_validation: None,
            takes_routes: false,
        };
        match (spec.protocol.as_str(), &spec.tls) {
            ("HTTP", _) => state.protocol = Some(Protocol::Http),
            ("HTTPS", Some(tls)) => {
                state.protocol = Some(Protocol::Https);
                state.resolve_certificates(tls, index, report);
            }
            ("HTTPS", None) => {
                let message = "Protocol HTTPS needs `tls` with at least one certificate.".to_owned();
                state.refusal = Some((ListenerReason::Invalid, message));
            }
            (other, _) => {
                let hint = did_you_mean(other, ["HTTP", "HTTPS"]);
                let message =
                    ended(format!("Protocol {other} is not supported; expected HTTP or HTTPS{hint}"));
                state.refusal = Some((ListenerReason::UnsupportedProtocol, message));
            }
        }
        state.resolve_kinds();
        state
    }

    fn resolve_kinds(&mut self) {
        let kinds =
            self.spec.allowed_routes.as_ref().map(|allowed| allowed.kinds.as_slice()).unwrap_or_default();
        let supported =
            if matches!(self.spec.protocol.as_str(), "HTTP" | "HTTPS") { Some(ROUTE_KIND) } else { None };
        let is_ours = |group: &Option<String>, kind: &str| {
            Some((group.as_deref().unwrap_or(GATEWAY_GROUP), kind)) == supported
        };
        let fits = kinds.is_empty() || kinds.iter().any(|kind| is_ours(&kind.group, &kind.kind));
        self.takes_routes = supported.is_some() && fits;
        let foreign = kinds.iter().filter(|kind| !is_ours(&kind.group, &kind.kind));
        let foreign: Vec<String> = foreign
            .map(|kind| match kind.group.as_deref() {
                None | Some(GATEWAY_GROUP) => kind.kind.clone(),
                Some(group) => format!("{}.{group}", kind.kind),
            })
            .collect();
        if !foreign.is_empty() && self.unresolved.is_none() {
            let foreign = foreign.join(", ");
            let message = match supported {
                Some((_, kind)) => format!("Routes of kind {foreign} are not supported; expected {kind}."),
                None => format!("Protocol {} takes no routes of kind {foreign} here.", self.spec.protocol),
            };
            self.unresolved = Some((ListenerReason::InvalidRouteKinds, message));
        }
    }

    fn resolve_certificates(&mut self, tls: &ListenerTls, index: &Index<'a>, report: &mut Report) {
        let mut refusals: Vec<(ListenerReason, String)> = Vec::new();
        for (number, reference) in tls.certificate_refs.iter().enumerate() {
            match certificate(self.owner.referrer(), reference, index) {
                Ok(certificate) => self.certificates.push(certificate),
                Err((reason, message)) => {
                    let path = format!("{}.tls.certificateRefs[{number}]", self.path());
                    self.owner.report(report, Severity::Error, &path, reason.text(), line(&message));
                    refusals.push((reason, message));
                }
            }
        }
        let Some((first, _)) = refusals.first().cloned() else {
            if self.certificates.is_empty() {
                let message = "There is no certificate.".to_owned();
                self.unresolved = Some((ListenerReason::InvalidCertificateRef, message));
            }
            return;
        };
        let message = refusals.into_iter().map(|(_, message)| message).collect::<Vec<_>>().join(" ");
        let some_are_good = !self.certificates.is_empty();
        let reason = if some_are_good { ListenerReason::PartiallyInvalidCertificateRef } else { first };
        self.unresolved = Some((reason, message));
    }
}

/// What a reference to a certificate comes to.
pub(super) fn certificate(
    referrer: Referrer<'_>,
    reference: &SecretReference,
    index: &Index<'_>,
) -> Result<Arc<CertifiedKey>, (ListenerReason, String)> {
    let invalid = |message| (ListenerReason::InvalidCertificateRef, message);
    let (group, kind) =
        (reference.group.as_deref().unwrap_or_default(), reference.kind.as_deref().unwrap_or("Secret"));
    if (group, kind) != ("", "Secret") {
        return Err(invalid(format!(
            "A certificate is in a Secret of the core group, not in {kind} of group `{group}`."
        )));
    }
    let name = reference.name.as_str();
    let namespace = reference.namespace.as_deref().unwrap_or(referrer.namespace);
    let referent = Referent { group, kind, namespace, name };
    index.grants.permit(referrer, referent).map_err(|message| (ListenerReason::RefNotPermitted, message))?;
    let source = format!("{namespace}/{name}");
    let Some(secret) = index.secrets.get(&(namespace, name)) else {
        return Err(invalid(index.absence(&index.secrets, (namespace, name))));
    };
    let value = |key: &str| {
        secret.spec.value(key).ok_or_else(|| invalid(format!("Secret {source} has no key `{key}`.")))
    };
    CertifiedKey::from_pem(&source, value("tls.crt")?, value("tls.key")?)
        .map(Arc::new)
        .map_err(|error| invalid(format!("Secret {source}: {error}.")))
}
