use std::{net::IpAddr, sync::Arc};

use ir::{CertifiedKey, Protocol};
use manifest::{
    Severity, did_you_mean,
    kind::{GATEWAY_GROUP, Gateway, Listener, ListenerTls, SecretReference},
};

use super::conflicts;
use crate::{
    grants::{Referent, Referrer},
    index::{InForce, Index},
    report::{Report, ended, line},
    status::{ListenerReason, Reason},
};

/// The one kind of routes that HTTP and HTTPS listeners take.
pub(crate) const ROUTE_KIND: (&str, &str) = (GATEWAY_GROUP, "HTTPRoute");

/// A listener and all that decides whether it is served.
#[derive(Debug)]
pub(crate) struct ListenerState<'a> {
    pub(crate) spec: &'a Listener,
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
    /// The Gateway's addresses on which the port is this Gateway's.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) certificates: Vec<Arc<CertifiedKey>>,
    /// HTTPRoutes may attach.
    pub(crate) takes_routes: bool,
}

impl<'a> ListenerState<'a> {
    /// Every listener of a Gateway, judged by itself and against its siblings.
    pub(super) fn all(
        gateway: InForce<'a, Gateway>,
        index: &Index<'a>,
        report: &mut Report,
    ) -> Vec<ListenerState<'a>> {
        let listeners = gateway.spec.listeners.iter().enumerate();
        let mut states: Vec<_> =
            listeners.map(|(place, spec)| Self::alone(gateway, spec, place, index, report)).collect();
        conflicts::mark(&mut states);
        conflicts::mark_overlaps(&mut states);
        for (place, state) in states.iter().enumerate() {
            state.explain(gateway, &format!("spec.listeners[{place}]"), report);
        }
        states
    }

    /// Says with its place what the conditions say; references have been said already.
    fn explain(&self, gateway: InForce<'a, Gateway>, path: &str, report: &mut Report) {
        let field = match &self.refusal {
            Some((ListenerReason::UnsupportedProtocol, _)) => "protocol",
            Some(_) => "tls",
            None => "port",
        };
        if let Some((reason, message)) = self.refusal.as_ref().or(self.conflict.as_ref()) {
            report.add(
                Severity::Error,
                gateway.object,
                &format!("{path}.{field}"),
                reason.text(),
                line(message),
            );
        }
        if let Some((reason @ ListenerReason::InvalidRouteKinds, message)) = &self.unresolved {
            let path = format!("{path}.allowedRoutes.kinds");
            report.add(Severity::Error, gateway.object, &path, reason.text(), line(message));
        }
        if let Some((reason, message)) = &self.overlap {
            let path = format!("{path}.hostname");
            report.add(Severity::Warning, gateway.object, &path, reason.text(), line(message));
        }
    }

    /// Whether it can be served; the address is another question.
    pub(crate) fn is_valid(&self) -> bool {
        self.refusal.is_none() && self.conflict.is_none()
    }

    /// Whether requests are served.
    pub(crate) fn is_programmed(&self) -> bool {
        let complete = self.protocol != Some(Protocol::Https) || !self.certificates.is_empty();
        self.is_valid() && complete && self.takes_routes && !self.addresses.is_empty()
    }

    fn alone(
        gateway: InForce<'a, Gateway>,
        spec: &'a Listener,
        place: usize,
        index: &Index<'a>,
        report: &mut Report,
    ) -> Self {
        let mut state = Self {
            spec,
            protocol: None,
            refusal: None,
            conflict: None,
            unresolved: None,
            overlap: None,
            port_taken: None,
            addresses: Vec::new(),
            certificates: Vec::new(),
            takes_routes: false,
        };
        match (spec.protocol.as_str(), &spec.tls) {
            ("HTTP", _) => state.protocol = Some(Protocol::Http),
            ("HTTPS", Some(tls)) => {
                state.protocol = Some(Protocol::Https);
                state.resolve_certificates(gateway, tls, place, index, report);
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
                return state;
            }
        }
        state.resolve_kinds();
        state
    }

    fn resolve_kinds(&mut self) {
        let kinds =
            self.spec.allowed_routes.as_ref().map(|allowed| allowed.kinds.as_slice()).unwrap_or_default();
        let is_ours = |group: &Option<String>, kind: &str| {
            (group.as_deref().unwrap_or(GATEWAY_GROUP), kind) == ROUTE_KIND
        };
        self.takes_routes = kinds.is_empty() || kinds.iter().any(|kind| is_ours(&kind.group, &kind.kind));
        let foreign = kinds.iter().filter(|kind| !is_ours(&kind.group, &kind.kind));
        let foreign: Vec<String> = foreign
            .map(|kind| match kind.group.as_deref() {
                None | Some(GATEWAY_GROUP) => kind.kind.clone(),
                Some(group) => format!("{}.{group}", kind.kind),
            })
            .collect();
        if !foreign.is_empty() && self.unresolved.is_none() {
            let message =
                format!("Routes of kind {} are not supported; expected HTTPRoute.", foreign.join(", "));
            self.unresolved = Some((ListenerReason::InvalidRouteKinds, message));
        }
    }

    fn resolve_certificates(
        &mut self,
        gateway: InForce<'a, Gateway>,
        tls: &ListenerTls,
        place: usize,
        index: &Index<'a>,
        report: &mut Report,
    ) {
        let mut refusals: Vec<(ListenerReason, String)> = Vec::new();
        for (number, reference) in tls.certificate_refs.iter().enumerate() {
            match certificate(Referrer::of(gateway.object), reference, index) {
                Ok(certificate) => self.certificates.push(certificate),
                Err((reason, message)) => {
                    let path = format!("spec.listeners[{place}].tls.certificateRefs[{number}]");
                    report.add(Severity::Error, gateway.object, &path, reason.text(), line(&message));
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

fn certificate(
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
