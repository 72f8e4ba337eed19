use std::sync::Arc;

use ir::CertifiedKey;
use manifest::{Severity, kind::Gateway};

use super::listeners::certificate;
use crate::{
    grants::Referrer,
    index::{InForce, Index},
    report::{Report, line},
    status::{GatewayReason, ListenerReason, Reason},
};

/// What a Gateway shows backends that ask for a certificate, or why there is none.
pub(crate) type ClientCertificate = Result<Arc<CertifiedKey>, (GatewayReason, String)>;

/// `None`: the Gateway names none.
pub(super) fn client_certificate(
    gateway: InForce<'_, Gateway>,
    index: &Index<'_>,
    report: &mut Report,
) -> Option<ClientCertificate> {
    let backend = gateway.spec.tls.as_ref()?.backend.as_ref()?;
    let reference = backend.client_certificate_ref.as_ref()?;
    let found = certificate(Referrer::of(gateway.object), reference, index);
    Some(found.map_err(|(reason, message)| {
        let reason = match reason {
            ListenerReason::RefNotPermitted => GatewayReason::RefNotPermitted,
            _ => GatewayReason::InvalidClientCertificateRef,
        };
        let path = "spec.tls.backend.clientCertificateRef";
        report.add(Severity::Error, gateway.object, path, reason.text(), line(&message));
        (reason, message)
    }))
}
