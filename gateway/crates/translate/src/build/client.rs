use ir::{
    ClientIpDetection, ClientSettings, ClientTimeouts, ConnectionLimit, ConnectionSettings, HeaderSettings,
    Http2Settings, PathSettings, ProxyProtocol, Quantity, RequestId, TcpKeepalive, TrustedForwarders,
};
use manifest::{Object, SpecState, kind};

use super::{
    notes::{Notes, Remarks},
    tls::{TlsPolicy, tls_policy},
};
use crate::{attach::Policies, report::Report};

/// What a ClientTrafficPolicy comes to, wherever it is attached.
#[derive(Debug, Default)]
pub(crate) struct ClientPolicy {
    pub(crate) settings: std::sync::Arc<ClientSettings>,
    pub(crate) tls: TlsPolicy,
    pub(crate) remarks: Remarks,
}

/// One for each policy, in the same order.
#[derive(Debug)]
pub(crate) struct ClientPolicies(pub(crate) Vec<ClientPolicy>);

impl ClientPolicies {
    pub(crate) fn new(policies: &Policies<'_, kind::ClientTrafficPolicy>, report: &mut Report) -> Self {
        Self(policies.policies.iter().map(|state| client_policy(state.policy, report)).collect())
    }
}

/// What is noted while a ClientTrafficPolicy is read.
pub(super) type ClientNotes<'r, 'a> = Notes<'r, 'a, kind::ClientTrafficPolicy>;

fn client_policy(policy: &Object<kind::ClientTrafficPolicy>, report: &mut Report) -> ClientPolicy {
    let spec = match &policy.spec {
        SpecState::Good(spec) | SpecState::Stale(spec, _) => spec,
        SpecState::Refused(why) => {
            return ClientPolicy { remarks: Remarks::never_good(why), ..ClientPolicy::default() };
        }
    };
    let mut notes = Notes::new(policy, report);
    let settings = settings(spec, &mut notes);
    let errors = notes.errors_so_far();
    let tls = spec.tls.as_ref().map(|tls| tls_policy(tls, &mut notes)).unwrap_or_default();
    let noted = notes.remarks();
    let remarks = Remarks { errors, tls_errors: noted.errors, ..noted };
    ClientPolicy { settings: settings.into(), tls, remarks }
}

fn settings(spec: &kind::ClientTrafficPolicy, notes: &mut ClientNotes<'_, '_>) -> ClientSettings {
    let kind::ClientTrafficPolicy {
        target_ref,
        target_refs: _,
        target_selectors: _,
        tcp_keepalive,
        enable_proxy_protocol,
        proxy_protocol,
        client_ip_detection,
        tls: _,
        path,
        headers,
        timeout,
        connection,
        http1: _,
        http2,
        http3: _,
        grpc: _,
        health_check: _,
        scheme: _,
    } = spec;
    if target_ref.is_some() {
        notes.deprecated("spec.targetRef", "spec.targetRefs");
    }
    if enable_proxy_protocol.is_some() {
        notes.deprecated("spec.enableProxyProtocol", "spec.proxyProtocol");
    }
    let old_proxy = enable_proxy_protocol.unwrap_or_default().then(ProxyProtocol::default);
    let path = path.unwrap_or_default();
    ClientSettings {
        connection: connection.map(|connection| connection_settings(&connection, notes)).unwrap_or_default(),
        tcp_keepalive: tcp_keepalive.map(|keepalive| whole_seconds(keepalive, notes)),
        proxy_protocol: proxy_protocol.or(old_proxy),
        client_ip: client_ip_detection.as_ref().map(client_ip).unwrap_or_default(),
        timeouts: timeouts(timeout.and_then(|timeout| timeout.http)),
        headers: headers.map(|headers| header_settings(&headers, notes)).unwrap_or_default(),
        path: PathSettings {
            merge_slashes: !path.disable_merge_slashes.unwrap_or_default(),
            escaped_slashes: path.escaped_slashes_action.unwrap_or_default(),
        },
        http2: http2.map(|http2| http2_settings(&http2, notes)).unwrap_or_default(),
    }
}

fn connection_settings(spec: &kind::Connection, notes: &mut ClientNotes<'_, '_>) -> ConnectionSettings {
    let kind::Connection {
        connection_limit,
        buffer_limit,
        socket_buffer_limit: _,
        max_accept_per_socket_event: _,
    } = spec;
    let default = ConnectionSettings::default();
    let buffer_limit = match buffer_limit.map(|limit| (limit, u32::try_from(limit.bytes()))) {
        None => default.buffer_limit,
        Some((_, Ok(bytes))) if bytes > 0 => bytes,
        Some((limit, _)) => {
            notes.error(
                "spec.connection.bufferLimit",
                format!("{limit} is out of range: expected 1 to 4294967295 bytes"),
            );
            default.buffer_limit
        }
    };
    let limit = connection_limit.and_then(|limit| {
        let close_delay = limit.close_delay.and_then(ir::Duration::limit);
        Some(ConnectionLimit { value: limit.value?, close_delay })
    });
    ConnectionSettings { limit, buffer_limit }
}

/// The kernel knows whole seconds only; less than one means its own value.
fn whole_seconds(keepalive: TcpKeepalive, notes: &mut ClientNotes<'_, '_>) -> TcpKeepalive {
    let mut whole = |name: &str, value: Option<ir::Duration>| {
        let seconds = value?.std().as_secs();
        if seconds == 0 {
            let path = format!("spec.tcpKeepalive.{name}");
            notes.warning(&path, "is below one second, so the kernel's own value holds".to_owned());
            return None;
        }
        Some(ir::Duration::from_secs(seconds))
    };
    TcpKeepalive {
        probes: keepalive.probes.filter(|probes| *probes > 0),
        idle_time: whole("idleTime", keepalive.idle_time),
        interval: whole("interval", keepalive.interval),
    }
}

fn client_ip(spec: &kind::ClientIpDetection) -> ClientIpDetection {
    let Some(forwarded) = &spec.x_forwarded_for else { return ClientIpDetection::Direct };
    let kind::XForwardedFor { num_trusted_hops, trusted_cidrs, disable_x_forwarded_for_append } = forwarded;
    let trusted = match trusted_cidrs {
        Some(networks) => TrustedForwarders::Networks(networks.clone()),
        None => TrustedForwarders::Hops(num_trusted_hops.unwrap_or_default()),
    };
    ClientIpDetection::XForwardedFor { trusted, append: !disable_x_forwarded_for_append.unwrap_or_default() }
}

fn timeouts(spec: Option<kind::HttpTimeouts>) -> ClientTimeouts {
    let default = ClientTimeouts::default();
    let Some(kind::HttpTimeouts {
        request_received_timeout,
        request_headers_received_timeout,
        idle_timeout,
        stream_idle_timeout,
    }) = spec
    else {
        return default;
    };
    ClientTimeouts {
        request_received: request_received_timeout.map_or(default.request_received, ir::Duration::limit),
        headers_received: request_headers_received_timeout
            .map_or(default.headers_received, ir::Duration::limit),
        idle: idle_timeout.map_or(default.idle, ir::Duration::limit),
        stream_idle: stream_idle_timeout.map_or(default.stream_idle, ir::Duration::limit),
    }
}

fn header_settings(spec: &kind::Headers, notes: &mut ClientNotes<'_, '_>) -> HeaderSettings {
    let kind::Headers {
        with_underscores_action,
        request_id,
        preserve_x_request_id,
        enable_envoy_headers: _,
        disable_rate_limit_headers: _,
        x_forwarded_client_cert: _,
        early_request_headers: _,
        late_response_headers: _,
        host: _,
        max_request_header_limit: _,
    } = spec;
    if preserve_x_request_id.is_some() {
        notes.deprecated("spec.headers.preserveXRequestID", "spec.headers.requestID");
    }
    let old = preserve_x_request_id.unwrap_or_default().then_some(RequestId::PreserveOrGenerate);
    HeaderSettings {
        request_id: request_id.or(old).unwrap_or_default(),
        underscores: with_underscores_action.unwrap_or_default(),
    }
}

/// What a window may be: RFC 9113 §6.9.2, with Envoy's lower bound.
const WINDOW: std::ops::RangeInclusive<u64> = 65_535..=2_147_483_647;

fn http2_settings(spec: &kind::Http2, notes: &mut ClientNotes<'_, '_>) -> Http2Settings {
    let kind::Http2 {
        initial_stream_window_size,
        initial_connection_window_size,
        max_concurrent_streams,
        on_invalid_message: _,
        connection_keepalive: _,
    } = spec;
    let default = Http2Settings::default();
    let mut window = |name: &str, value: &Option<Quantity>, default: Quantity| match value {
        Some(size) if !WINDOW.contains(&size.bytes()) => {
            let message = format!("{size} is out of range: expected 65535 to 2147483647 bytes");
            notes.error(&format!("spec.http2.{name}"), message);
            default
        }
        Some(size) => *size,
        None => default,
    };
    Http2Settings {
        max_concurrent_streams: max_concurrent_streams.unwrap_or(default.max_concurrent_streams),
        initial_stream_window: window(
            "initialStreamWindowSize",
            initial_stream_window_size,
            default.initial_stream_window,
        ),
        initial_connection_window: window(
            "initialConnectionWindowSize",
            initial_connection_window_size,
            default.initial_connection_window,
        ),
    }
}
