use std::{collections::BTreeSet, sync::Arc, time::Duration};

use http::StatusCode;
use ir::{ListenerId, PolicyNames, RuleId};
use prometheus::{Registry, TextEncoder};

use super::{ConfigMetrics, Family, KernelMetrics, KernelReading, Kind, Metrics, TABLE, WorkerMetrics};
use crate::refusal::Refusal;

fn listener() -> ListenerId {
    ListenerId("default/eg/web".into())
}

fn rule(index: usize, name: Option<&str>) -> RuleId {
    RuleId { route: "default/tea".into(), index, name: name.map(Into::into) }
}

/// The lines of series, without those of the process.
fn printed(registry: &Registry) -> Vec<String> {
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let series = |line: &&str| !line.starts_with('#') && !line.starts_with("gateway_descriptors");
    text.lines().filter(series).map(str::to_owned).collect()
}

#[test]
fn every_family_is_in_the_table_and_the_table_is_in_order() {
    let metrics = Metrics::new();
    let config = ConfigMetrics::new(metrics.registry());
    let refusals = metrics.refusals(&listener(), &PolicyNames::default());
    let handles = (metrics.listener(&listener()), metrics.rule(&listener(), &rule(0, None)), refusals);
    handles.2.refused(Refusal::Timeout);
    handles.2.would_refuse(Refusal::OverSourceLimit);
    let _telling = metrics.telling();
    handles.0.dropped_tlvs(1);
    handles.1.observe(Some(StatusCode::OK), Duration::ZERO);
    let upstream = metrics.upstream(&"Service default/tea:80".into());
    upstream.failed("UF");
    upstream.mirrored(true);
    upstream.retried(true);
    let certificate = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let key = certificate.signing_key.serialize_pem();
    let tls = ir::CertifiedKey::from_pem("default/cert", certificate.cert.pem().as_bytes(), key.as_bytes())
        .unwrap();
    config.published(&tls_gateway(tls), 3);
    config.took(&[("read", Duration::from_millis(1))]);
    WorkerMetrics::new(metrics.registry()).stalled(0, false);
    KernelMetrics::register(metrics.registry(), || KernelReading {
        refused: Vec::new(),
        told: Vec::new(),
        unanswered: vec![(listener(), "xdp", 1)],
        sources_evicted: 1,
        open: vec![(listener(), 1)],
        unread: vec![("fragment", 1)],
        tiers: vec![("eth0".to_owned(), "xdp")],
        degraded: vec![("eth1".to_owned(), "no_native_xdp")],
    });
    let gathered = metrics.registry().gather();
    let names: Vec<&str> = gathered.iter().map(|family| family.name()).collect();
    let table: Vec<&str> = TABLE.iter().map(|family| family.name).collect();
    assert_eq!(names, BTreeSet::from_iter(table.iter().copied()).into_iter().collect::<Vec<_>>());
    assert!(table.iter().all(|name| name.starts_with("gateway_")));
    for family in TABLE {
        assert_eq!(family.kind == Kind::Counter, family.name.ends_with("_total"), "{}", family.name);
        let printed = gathered.iter().find(|printed| printed.name() == family.name).unwrap();
        assert_eq!(printed.help(), family.help);
        let labels: Vec<&str> = printed.get_metric()[0].get_label().iter().map(|pair| pair.name()).collect();
        assert_eq!(BTreeSet::from_iter(labels), BTreeSet::from_iter(family.labels.iter().copied()));
    }
}

fn tls_gateway(certificate: ir::CertifiedKey) -> ir::Gateway {
    let client = Arc::new(ir::ClientSettings::default());
    let tls = ir::Tls {
        certificates: vec![Arc::new(certificate)],
        min: ir::TlsVersion::V1_2,
        max: ir::TlsVersion::V1_3,
        ciphers: ir::CipherSuites::default(),
        alpn: Vec::new(),
        client_validation: None,
    };
    let listener = ir::Listener {
        id: listener(),
        hostname: None,
        tls: Some(tls),
        client: Arc::clone(&client),
        hosts: Vec::new(),
        connection: None,
        policies: PolicyNames::default(),
        broken: false,
    };
    let bind = ir::Bind {
        id: ir::BindId("default/eg:443/TCP".into()),
        sockets: Vec::new(),
        protocol: ir::Protocol::Https,
        client,
        listeners: vec![Arc::new(listener)],
    };
    ir::Gateway { binds: vec![bind], ..ir::Gateway::default() }
}

#[test]
fn connections_are_counted_by_listener_and_reason() {
    let metrics = Metrics::new();
    let handles = metrics.listener(&listener());
    (0..3).for_each(|_| handles.opened());
    handles.closed();
    let refusals = metrics.refusals(&listener(), &PolicyNames::default());
    refusals.refused(Refusal::OverConnectionLimit);
    refusals.refused(Refusal::OverConnectionLimit);
    let printed = printed(metrics.registry());
    for line in [
        "gateway_connections_accepted_total{listener=\"default/eg/web\"} 3",
        "gateway_connections_open{listener=\"default/eg/web\"} 2",
        "gateway_connections_refused_total{listener=\"default/eg/web\",policy=\"\",reason=\"over_connection_limit\",tier=\"accept\"} 2",
    ] {
        assert!(printed.iter().any(|found| sorted(found) == sorted(line)), "{line}\n{printed:#?}");
    }
}

/// A series with its labels in order.
fn sorted(line: &str) -> String {
    let (Some(open), Some(close)) = (line.find('{'), line.rfind('}')) else { return line.to_owned() };
    let mut labels: Vec<&str> = line[open + 1..close].split(',').collect();
    labels.sort_unstable();
    format!("{}{{{}{}", &line[..open], labels.join(","), &line[close..])
}

#[test]
fn requests_are_counted_by_rule_and_class_and_timed_by_route() {
    let metrics = Metrics::new();
    let (first, named) =
        (metrics.rule(&listener(), &rule(0, None)), metrics.rule(&listener(), &rule(1, Some("b"))));
    first.observe(Some(StatusCode::OK), Duration::from_micros(400));
    first.observe(Some(StatusCode::NOT_FOUND), Duration::from_millis(1));
    named.observe(None, Duration::from_secs(100));
    let unrouted = metrics.listener(&listener());
    unrouted.unrouted().observe(Some(StatusCode::NOT_FOUND), Duration::ZERO);
    let printed: Vec<String> = printed(metrics.registry()).iter().map(|line| sorted(line)).collect();
    let labels = "listener=\"default/eg/web\",route=\"default/tea\"";
    for line in [
        format!("gateway_requests_total{{code=\"2xx\",{labels},rule=\"0\"}} 1"),
        format!("gateway_requests_total{{code=\"4xx\",{labels},rule=\"0\"}} 1"),
        format!("gateway_requests_total{{code=\"none\",{labels},rule=\"b\"}} 1"),
        "gateway_requests_total{code=\"4xx\",listener=\"default/eg/web\",route=\"\",rule=\"\"} 1".to_owned(),
        format!("gateway_request_duration_seconds_bucket{{le=\"0.0005\",{labels}}} 1"),
        format!("gateway_request_duration_seconds_bucket{{le=\"0.001\",{labels}}} 2"),
        format!("gateway_request_duration_seconds_bucket{{le=\"60\",{labels}}} 2"),
        format!("gateway_request_duration_seconds_bucket{{le=\"+Inf\",{labels}}} 3"),
        format!("gateway_request_duration_seconds_count{{{labels}}} 3"),
        format!("gateway_request_duration_seconds_sum{{{labels}}} 100.0014"),
    ] {
        assert!(printed.contains(&sorted(&line)), "{line}\n{printed:#?}");
    }
}

#[test]
fn upstreams_are_counted_by_name() {
    let metrics = Metrics::new();
    let name: Arc<str> = "Service default/tea:80".into();
    let (one, same) = (metrics.upstream(&name), metrics.upstream(&name));
    assert!(Arc::ptr_eq(&one, &same));
    one.requested();
    same.requested();
    one.opened();
    one.failed("UF");
    one.failed("??");
    one.mirrored(true);
    one.mirrored(false);
    one.retried(true);
    one.retried(false);
    let printed = printed(metrics.registry());
    for (line, value) in [
        ("gateway_upstream_requests_total{upstream=\"Service default/tea:80\"}", 2),
        ("gateway_upstream_connections_open{upstream=\"Service default/tea:80\"}", 1),
        ("gateway_mirrored_requests_total{result=\"answered\",upstream=\"Service default/tea:80\"}", 1),
        ("gateway_mirrored_requests_total{result=\"failed\",upstream=\"Service default/tea:80\"}", 1),
        ("gateway_upstream_retries_total{result=\"answered\",upstream=\"Service default/tea:80\"}", 1),
        ("gateway_upstream_retries_total{result=\"failed\",upstream=\"Service default/tea:80\"}", 1),
        ("gateway_upstream_failures_total{reason=\"UF\",upstream=\"Service default/tea:80\"}", 1),
        ("gateway_upstream_failures_total{reason=\"other\",upstream=\"Service default/tea:80\"}", 1),
    ] {
        let line = format!("{line} {value}");
        assert!(printed.iter().any(|found| sorted(found) == sorted(&line)), "{line}\n{printed:#?}");
    }
}

#[test]
fn series_last_over_a_reload_and_go_with_their_last_holder() {
    let metrics = Metrics::new();
    let old = metrics.rule(&listener(), &rule(0, None));
    old.observe(Some(StatusCode::OK), Duration::ZERO);
    let new = metrics.rule(&listener(), &rule(0, None));
    drop(old);
    new.observe(Some(StatusCode::OK), Duration::ZERO);
    let requests =
        || printed(metrics.registry()).into_iter().filter(|line| line.starts_with("gateway_request"));
    assert!(requests().any(|line| line.starts_with("gateway_requests_total") && line.ends_with(" 2")));
    drop(new);
    assert_eq!(requests().count(), 0);
}

#[test]
fn the_readme_has_a_row_for_every_metric() {
    let readme = include_str!("../../../../../README.md");
    let kind = |family: &Family| format!("{:?}", family.kind).to_lowercase();
    let labels = |family: &Family| family.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>();
    let rows: Vec<String> = TABLE
        .iter()
        .map(|family| {
            let labels = labels(family).join(", ");
            format!("| `{}` | {} | {labels} | {} |", family.name, kind(family), family.help)
                .replace("|  |", "| |")
        })
        .collect();
    let missing: Vec<&String> = rows.iter().filter(|row| !readme.contains(*row)).collect();
    assert!(missing.is_empty(), "README.md should have these rows:\n{missing:#?}");
}
