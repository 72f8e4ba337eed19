use std::sync::Arc;

use ir::{Authorities, SubjectAltName, UpstreamTls};
use manifest::{
    Object, Severity, SpecState,
    kind::{BackendTlsPolicy, BackendTlsValidation, SubjectAltNameSpec},
};

use super::backends::Refusal;
use crate::{
    HostFacts,
    attach::{AuthorityProblem, AuthorityRef, BackendKey, BackendPolicies, ResolvedAuthorities},
    grants::Referrer,
    index::{Index, key},
    report::{Report, ended, line},
    status::{PolicyReason, Reason, RouteReason},
};

/// What a BackendTLSPolicy comes to, wherever it is attached.
#[derive(Debug)]
pub(crate) struct BackendTlsPolicyState {
    /// Accepted is False, for the reason and by the sentence: what it governs answers 500.
    pub(crate) settings: Result<Arc<UpstreamTls>, (PolicyReason, String)>,
    /// ResolvedRefs is False.
    pub(crate) unresolved: Option<(PolicyReason, String)>,
}

/// TLS to backends: which policy governs which, and what each comes to, in the same order.
#[derive(Debug)]
pub(crate) struct BackendTls<'p, 'a> {
    policies: &'p BackendPolicies<'a>,
    pub(crate) states: Vec<BackendTlsPolicyState>,
}

impl<'p, 'a> BackendTls<'p, 'a> {
    pub(crate) fn new(
        policies: &'p BackendPolicies<'a>,
        index: &Index<'a>,
        facts: &HostFacts,
        report: &mut Report,
    ) -> Self {
        let states = policies.policies.iter().map(|state| state_of(state.policy, index, facts, report));
        Self { policies, states: states.collect() }
    }

    /// TLS to a backend's port of that name; `None`: in the clear.
    pub(super) fn of(
        &self,
        backend: BackendKey<'_>,
        port: Option<&str>,
    ) -> Result<Option<Arc<UpstreamTls>>, Refusal> {
        let Some(place) = self.policies.governing(backend, port) else { return Ok(None) };
        match &self.states[place].settings {
            Ok(settings) => Ok(Some(Arc::clone(settings))),
            Err((_, why)) => {
                let (BackendKey::Service((_, backend)) | BackendKey::Backend((_, backend))) = backend;
                let (namespace, name) = key(self.policies.policies[place].policy);
                let message = format!(
                    "BackendTLSPolicy {namespace}/{name}, which governs {backend}, is not valid: {why}"
                );
                Err((RouteReason::InvalidBackendTLS, message))
            }
        }
    }
}

fn state_of(
    policy: &Object<BackendTlsPolicy>,
    index: &Index<'_>,
    facts: &HostFacts,
    report: &mut Report,
) -> BackendTlsPolicyState {
    let spec = match &policy.spec {
        SpecState::Good(spec) | SpecState::Stale(spec, _) => spec,
        SpecState::Refused(why) => {
            let message = ended(format!("Never was good: {why}"));
            return BackendTlsPolicyState {
                settings: Err((PolicyReason::Invalid, message)),
                unresolved: None,
            };
        }
    };
    let BackendTlsPolicy { target_refs: _, validation, options: _ } = &**spec;
    let BackendTlsValidation {
        ca_certificate_refs: _,
        well_known_ca_certificates: _,
        hostname,
        subject_alt_names,
    } = validation;
    let (authorities, unresolved) = authorities(policy, validation, index, facts, report);
    let settings = authorities.map(|authorities| UpstreamTls {
        server_name: hostname.clone(),
        authorities,
        names: subject_alt_names.iter().filter_map(subject_alt_name).collect(),
        client_certificate: None,
    });
    BackendTlsPolicyState { settings: settings.map(Arc::new), unresolved }
}

/// `None` for what is no name, which the schema has refused already.
fn subject_alt_name(spec: &SubjectAltNameSpec) -> Option<SubjectAltName> {
    let SubjectAltNameSpec { name_type: _, hostname, uri } = spec;
    let hostname = hostname.clone().map(SubjectAltName::Hostname);
    hostname.or_else(|| uri.as_deref().map(|uri| SubjectAltName::Uri(uri.into())))
}

type Trusted = Result<Arc<Authorities>, (PolicyReason, String)>;

fn authorities(
    policy: &Object<BackendTlsPolicy>,
    validation: &BackendTlsValidation,
    index: &Index<'_>,
    facts: &HostFacts,
    report: &mut Report,
) -> (Trusted, Option<(PolicyReason, String)>) {
    if let Some(well_known) = &validation.well_known_ca_certificates {
        let trusted = well_known_authorities(well_known, facts);
        if let Err((reason, message)) = &trusted {
            let path = "spec.validation.wellKnownCACertificates";
            report.add(Severity::Error, policy, path, reason.text(), line(message));
        }
        return (trusted, None);
    }
    let references = validation.ca_certificate_refs.iter().map(AuthorityRef::from);
    let resolved = ResolvedAuthorities::new(Referrer::of(policy), references, index);
    for (place, problem, message) in &resolved.problems {
        let path = format!("spec.validation.caCertificateRefs[{place}]");
        report.add(Severity::Error, policy, &path, reason(*problem).text(), line(message));
    }
    let message = resolved.message();
    let unresolved = resolved.problems.first().map(|(_, problem, _)| (reason(*problem), message.clone()));
    let trusted = resolved.authorities.ok_or((PolicyReason::NoValidCACertificate, message));
    (trusted, unresolved)
}

fn well_known_authorities(name: &str, facts: &HostFacts) -> Trusted {
    let invalid = |message| (PolicyReason::Invalid, message);
    if name != "System" {
        return Err(invalid(format!("Well-known authorities `{name}` are not known here; expected System.")));
    }
    match &facts.authorities {
        Some(authorities) => Ok(Arc::clone(authorities)),
        None => {
            let message = "No authorities are known to this host: its package of CA certificates is missing.";
            Err((PolicyReason::NoValidCACertificate, message.to_owned()))
        }
    }
}

const fn reason(problem: AuthorityProblem) -> PolicyReason {
    match problem {
        AuthorityProblem::Kind => PolicyReason::InvalidKind,
        AuthorityProblem::Object => PolicyReason::InvalidCACertificateRef,
        AuthorityProblem::NotPermitted => PolicyReason::RefNotPermitted,
    }
}
