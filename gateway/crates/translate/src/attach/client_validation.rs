use ir::{ClientValidation, ClientValidationMode, Protocol};
use manifest::{
    Severity,
    kind::{FrontendValidation, Gateway},
};

use super::{AuthorityProblem, AuthorityRef, ListenerState, ResolvedAuthorities};
use crate::{
    grants::Referrer,
    index::{InForce, Index},
    report::{Report, line},
    status::{ListenerReason, Reason},
};

/// Resolves what a Gateway wants of the clients of its listeners, those of ListenerSets included.
pub(super) fn resolve<'a>(
    gateway: InForce<'a, Gateway>,
    listeners: &mut [ListenerState<'a>],
    index: &Index<'a>,
    report: &mut Report,
) {
    let Some(tls) = &gateway.spec.tls else { return };
    for listener in listeners.iter_mut().filter(|listener| listener.protocol == Some(Protocol::Https)) {
        if let Some((path, validation)) = tls.validation(listener.spec.port) {
            listener.resolve_client_validation(gateway, &path, validation, index, report);
        }
    }
}

impl<'a> ListenerState<'a> {
    /// Without one good authority the listener is not served: anybody could come in else.
    fn resolve_client_validation(
        &mut self,
        gateway: InForce<'a, Gateway>,
        path: &str,
        spec: &FrontendValidation,
        index: &Index<'a>,
        report: &mut Report,
    ) {
        let FrontendValidation { ca_certificate_refs, mode } = spec;
        let references = ca_certificate_refs.iter().map(AuthorityRef::from);
        let resolved = ResolvedAuthorities::new(Referrer::of(gateway.object), references, index);
        for (place, problem, message) in &resolved.problems {
            let path = format!("{path}.caCertificateRefs[{place}]");
            report.add(Severity::Error, gateway.object, &path, reason(*problem).text(), line(message));
        }
        if let Some((_, problem, _)) = resolved.problems.first() {
            let message = resolved.message();
            self.unresolved = Some(match self.unresolved.take() {
                Some((reason, earlier)) => (reason, format!("{earlier} {message}")),
                None => (reason(*problem), message),
            });
        }
        match resolved.authorities {
            Some(authorities) => {
                let mode = mode.unwrap_or_default();
                self.client_validation = Some(ClientValidation { authorities, mode });
            }
            None => {
                let (namespace, name) = gateway.key();
                let message = format!(
                    "No certificate of a client could be valid: {path} of Gateway {namespace}/{name} has no usable \
                     authority."
                );
                self.refusal = Some((ListenerReason::NoValidCACertificate, message));
            }
        }
    }
}

const fn reason(problem: AuthorityProblem) -> ListenerReason {
    match problem {
        AuthorityProblem::Kind => ListenerReason::InvalidCACertificateKind,
        AuthorityProblem::Object => ListenerReason::InvalidCACertificateRef,
        AuthorityProblem::NotPermitted => ListenerReason::RefNotPermitted,
    }
}

/// What to say of ports that have settings of their own and no HTTPS listener.
pub(super) fn idle_ports(gateway: &Gateway, listeners: &[ListenerState<'_>]) -> Vec<String> {
    let frontend = gateway.tls.as_ref().and_then(|tls| tls.frontend.as_ref());
    let ports = frontend.map(|frontend| frontend.per_port.as_slice()).unwrap_or_default();
    let is_idle = |port: u16| {
        !listeners
            .iter()
            .any(|listener| listener.protocol == Some(Protocol::Https) && listener.spec.port == port)
    };
    let idle = ports.iter().enumerate().filter(|(_, own)| is_idle(own.port));
    idle.map(|(place, own)| {
        format!("spec.tls.frontend.perPort[{place}] has no effect: no HTTPS listener has port {}.", own.port)
    })
    .collect()
}

/// The fields of a Gateway that let clients in whose certificate is not valid.
pub(crate) fn insecure_modes(gateway: &Gateway) -> Vec<String> {
    let Some(frontend) = gateway.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) else {
        return Vec::new();
    };
    let default = ("spec.tls.frontend.default".to_owned(), &frontend.default);
    let ports = frontend.per_port.iter().enumerate();
    let ports = ports.map(|(place, own)| (format!("spec.tls.frontend.perPort[{place}].tls"), &own.tls));
    let is_insecure = |validation: &FrontendValidation| {
        validation.mode == Some(ClientValidationMode::AllowInsecureFallback)
    };
    std::iter::once(default)
        .chain(ports)
        .filter(|(_, config)| config.validation.as_ref().is_some_and(is_insecure))
        .map(|(path, _)| format!("{path}.validation.mode"))
        .collect()
}
