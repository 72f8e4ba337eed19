use crate::kind::{ENVOY_GATEWAY_GROUP, GATEWAY_GROUP, OWN_GROUP};

/// A kind that is known and not modelled.
pub(crate) struct KnownKind {
    pub(crate) group: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) namespaced: bool,
}

impl KnownKind {
    /// Why a kind of a gateway's has no effect; `None`: it is none of a gateway's business.
    pub(crate) fn unserved(&self) -> Option<&'static str> {
        if self.kind.starts_with('X') && self.group == EXPERIMENTAL_GROUP {
            Some("it is experimental in Gateway API")
        } else if matches!(self.kind, "EnvoyProxy" | "EnvoyGateway" | "EnvoyPatchPolicy") {
            Some("it configures Envoy itself, which is not here")
        } else if OUR_GROUPS.contains(&self.group) {
            Some("nothing that it asks for is done yet")
        } else {
            None
        }
    }
}

const fn namespaced(group: &'static str, kind: &'static str) -> KnownKind {
    KnownKind { group, kind, namespaced: true }
}

const fn cluster(group: &'static str, kind: &'static str) -> KnownKind {
    KnownKind { group, kind, namespaced: false }
}

/// Gateway API's group of kinds that may change or go.
const EXPERIMENTAL_GROUP: &str = "gateway.networking.x-k8s.io";

const RBAC: &str = "rbac.authorization.k8s.io";

/// What stands in manifests beside the kinds we model.
pub(crate) const KNOWN_KINDS: &[KnownKind] = &[
    namespaced(GATEWAY_GROUP, "GRPCRoute"),
    namespaced(GATEWAY_GROUP, "TLSRoute"),
    namespaced(GATEWAY_GROUP, "TCPRoute"),
    namespaced(GATEWAY_GROUP, "UDPRoute"),
    namespaced(EXPERIMENTAL_GROUP, "XListenerSet"),
    namespaced(EXPERIMENTAL_GROUP, "XBackend"),
    namespaced(EXPERIMENTAL_GROUP, "XBackendTrafficPolicy"),
    cluster(EXPERIMENTAL_GROUP, "XMesh"),
    namespaced(ENVOY_GATEWAY_GROUP, "BackendTrafficPolicy"),
    namespaced(ENVOY_GATEWAY_GROUP, "SecurityPolicy"),
    namespaced(ENVOY_GATEWAY_GROUP, "EnvoyExtensionPolicy"),
    namespaced(ENVOY_GATEWAY_GROUP, "EnvoyPatchPolicy"),
    namespaced(ENVOY_GATEWAY_GROUP, "EnvoyProxy"),
    namespaced(ENVOY_GATEWAY_GROUP, "HTTPRouteFilter"),
    namespaced(ENVOY_GATEWAY_GROUP, "EnvoyGateway"),
    namespaced("", "Pod"),
    namespaced("", "Endpoints"),
    namespaced("", "ServiceAccount"),
    namespaced("", "PersistentVolumeClaim"),
    namespaced("", "Event"),
    namespaced("", "ReplicationController"),
    namespaced("", "ResourceQuota"),
    namespaced("", "LimitRange"),
    cluster("", "Node"),
    cluster("", "PersistentVolume"),
    namespaced("apps", "Deployment"),
    namespaced("apps", "StatefulSet"),
    namespaced("apps", "DaemonSet"),
    namespaced("apps", "ReplicaSet"),
    namespaced("batch", "Job"),
    namespaced("batch", "CronJob"),
    namespaced("autoscaling", "HorizontalPodAutoscaler"),
    namespaced("policy", "PodDisruptionBudget"),
    namespaced("networking.k8s.io", "Ingress"),
    namespaced("networking.k8s.io", "NetworkPolicy"),
    cluster("networking.k8s.io", "IngressClass"),
    namespaced("coordination.k8s.io", "Lease"),
    namespaced(RBAC, "Role"),
    namespaced(RBAC, "RoleBinding"),
    cluster(RBAC, "ClusterRole"),
    cluster(RBAC, "ClusterRoleBinding"),
    cluster("apiextensions.k8s.io", "CustomResourceDefinition"),
    cluster("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    cluster("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    cluster("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    cluster("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    cluster("storage.k8s.io", "StorageClass"),
    cluster("scheduling.k8s.io", "PriorityClass"),
    namespaced("cert-manager.io", "Certificate"),
    namespaced("cert-manager.io", "Issuer"),
    cluster("cert-manager.io", "ClusterIssuer"),
];

/// Groups in which a kind that we do not know is a misspelling.
pub(crate) const OUR_GROUPS: &[&str] = &[GATEWAY_GROUP, ENVOY_GATEWAY_GROUP, OWN_GROUP];
