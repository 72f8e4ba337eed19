use super::family::{
    Family,
    Kind::{Counter, Gauge, Histogram},
};

/// Declares the table and a constant for each row.
macro_rules! table {
    ($($constant:ident $kind:ident $name:literal [$($label:literal)*] $help:literal)*) => {
        $(pub(super) const $constant: Family =
            Family { name: $name, kind: $kind, labels: &[$($label),*], help: $help };)*

        /// Every metric, by name. A series appears with its first event, and goes with the listener, route or
        /// backend that it is about.
        pub const TABLE: &[Family] = &[$($constant),*];
    };
}

table! {
    ACCEPT_PAUSES Counter "gateway_accept_pauses_total" []
        "Times that a worker stopped accepting for want of descriptors."
    ACCESS_LOG_DROPPED Counter "gateway_access_log_dropped_total" []
        "Access-log lines that were not written because the reader is too slow or gone."
    CERTIFICATE_NOT_AFTER Gauge "gateway_certificate_not_after_seconds" ["listener" "secret"]
        "End of a served certificate's validity, in seconds since 1970."
    CONFIG_GENERATION Gauge "gateway_config_generation" []
        "Number of the configuration in force; rises with every published one."
    CONFIG_LAST_RELOAD Gauge "gateway_config_last_reload_timestamp_seconds" []
        "When a configuration was last put in force, in seconds since 1970."
    CONFIG_PHASE Gauge "gateway_config_phase_seconds" ["phase"]
        "What each step of the last reload took: read, parse, translate, build, publish, tell."
    CONFIG_RELOADS Counter "gateway_config_reloads_total" ["result"]
        "Reloads by result: published, unchanged, failed."
    CONNECTION_PANICS Counter "gateway_connection_panics_total" []
        "Connections that ended by a fault of the gateway's own; anything but 0 is a bug."
    CONNECTIONS_ACCEPTED Counter "gateway_connections_accepted_total" ["listener"]
        "Client connections that got past accept."
    CONNECTIONS_DRY_RUN Counter "gateway_connections_dry_run_refused_total" ["listener" "tier" "reason" "policy"]
        "Connections that were served and would have been refused, but for `dryRun`."
    CONNECTIONS_OPEN Gauge "gateway_connections_open" ["listener"]
        "Client connections past accept and not yet closed."
    CONNECTIONS_REFUSED Counter "gateway_connections_refused_total" ["listener" "tier" "reason" "policy"]
        "Connections closed before their first request, by where (tier), why (reason) and by whose wish (policy)."
    DESCRIPTORS Gauge "gateway_descriptors" ["state"]
        "File descriptors of the process: open, and limit."
    KERNEL_CONNECTIONS_OPEN Gauge "gateway_kernel_connections_open" ["listener"]
        "Connections that the kernel half counts; those that wait for accept included."
    KERNEL_DEGRADED Gauge "gateway_kernel_degraded" ["interface" "reason"]
        "1 where the kernel half does less than it could, and why; without an interface: everywhere."
    KERNEL_SOURCES_EVICTED Counter "gateway_kernel_sources_evicted_total" []
        "Connections that ended when the kernel's count of their source had made room for another one's."
    KERNEL_TIER Gauge "gateway_kernel_tier" ["interface" "tier"]
        "1 for what enforces limits on a named interface: xdp, tc or accept."
    KERNEL_UNANSWERED Counter "gateway_kernel_unanswered_total" ["listener" "tier"]
        "Refused segments whose senders got no reset, since there were too many to answer."
    KERNEL_UNREAD Counter "gateway_kernel_unread_total" ["reason"]
        "Frames that the kernel half let through unjudged: fragments, malformed or too deep headers."
    MIRRORED_REQUESTS Counter "gateway_mirrored_requests_total" ["upstream" "result"]
        "Copies of requests that were sent to a mirror, by result: answered, failed."
    PREDECESSOR_CONNECTIONS Gauge "gateway_predecessor_connections_open" []
        "Client connections that processes before this one still serve after an upgrade; limits count them too."
    PROXY_VALUES_DROPPED Counter "gateway_proxy_values_dropped_total" ["listener"]
        "Request headers that were not set because what the PROXY header says is no field value."
    REFUSALS_TOLD Counter "gateway_refusals_told_total" ["tier" "outcome"]
        "Refused connections by what the access log says of them: a line (told), no line for want of pace (not_told), or lost on the way from the kernel."
    REQUEST_DURATION Histogram "gateway_request_duration_seconds" ["listener" "route"]
        "From the first byte of a request's header to the last byte of its response."
    REQUESTS Counter "gateway_requests_total" ["listener" "route" "rule" "code"]
        "Requests answered, by class of status code; `none`: the client left before a status was sent."
    TRACKED_SOURCES Gauge "gateway_tracked_sources" []
        "Addresses and networks that connection policies keep track of."
    TRACKED_SOURCES_EVICTED Counter "gateway_tracked_sources_evicted_total" []
        "Tracked sources that were forgotten to make room for others."
    UPSTREAM_CONNECTIONS_OPEN Gauge "gateway_upstream_connections_open" ["upstream"]
        "Connections to a backend's endpoints, idle ones included."
    UPSTREAM_FAILURES Counter "gateway_upstream_failures_total" ["upstream" "reason"]
        "Attempts at a backend that failed, by Envoy's response flag."
    UPSTREAM_REQUESTS Counter "gateway_upstream_requests_total" ["upstream"]
        "Requests sent to a backend, attempts counted singly."
    UPSTREAM_RETRIES Counter "gateway_upstream_retries_total" ["upstream" "result"]
        "Attempts that a rule's `retry` has added, by result: answered, failed (or answered with one of its codes)."
    WORKER_STALLED Gauge "gateway_worker_stalled" ["worker"]
        "1 for a worker that has not answered in time: it serves nobody, and starves the watchdog."
}
