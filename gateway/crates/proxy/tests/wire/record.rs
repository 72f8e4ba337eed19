//! What is written and counted of requests and refused connections.

use std::{
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use ir::{AccessLogFormat, Action, ClientSettings, RequestId};
use prometheus::TextEncoder;
use proxy::{Options, Proxy, access_log::Sink};
use serde_json::Value;

use crate::{backend::*, configure::*, rules::*};

/// A proxy whose access log is read here, as JSON.
fn logged(client: ClientSettings, echo: &Echo) -> (Proxy, ReservedPort, Receiver<String>) {
    let (sender, lines) = channel();
    let mut proxy =
        start_with(Options { workers: Some(2), access_log: Sink::Channel(sender), ..Options::default() });
    let port = ReservedPort::new();
    let entries = vec![
        (prefix("/echo"), rule("echo", Vec::new(), to(echo.address))),
        (prefix("/teapot"), rule("teapot", Vec::new(), Action::Respond(418))),
    ];
    let mut config = gateway(vec![bind(port.key(), client, vec![host(None, entries)])]);
    config.appliance.log_format = AccessLogFormat::Json;
    publish(&mut proxy, config);
    (proxy, port, lines)
}

fn next(lines: &Receiver<String>) -> Value {
    serde_json::from_str(&lines.recv_timeout(PATIENCE).unwrap()).unwrap()
}

#[test]
fn one_line_per_request() {
    let echo = Echo::start("echo");
    let mut client = ClientSettings::default();
    client.headers.request_id = RequestId::PreserveOrGenerate;
    let (proxy, port, lines) = logged(client, &echo);
    let fields =
        ["User-Agent: wire\"test", "X-Request-Id: id-1", "Authorization: Bearer s3cret", "Cookie: s3cret"];
    let answer = ask(port.address(), "GET", "/x/../echo?q=1", "a.test", &fields);
    assert_eq!(answer.status, 200);
    let line = next(&lines);
    for (key, value) in [
        ("method", "GET"),
        ("authority", "a.test"),
        ("path", "/x/../echo?q=1"),
        ("protocol", "HTTP/1.1"),
        ("client", "127.0.0.1"),
        ("listener", "default/eg/web"),
        ("route", "default/echo"),
        ("rule", "0"),
        ("request_id", "id-1"),
        ("user_agent", "wire\"test"),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes_sent"], answer.body.len());
    assert_eq!(line["endpoint"], echo.address.to_string());
    assert!(line["duration_ms"].as_f64() >= line["upstream_duration_ms"].as_f64(), "{line}");
    assert!(line.get("flags").is_none(), "{line}");
    assert!(!line.to_string().contains("s3cret"), "{line}");

    assert_eq!(get(port.address(), "/nowhere").status, 404);
    let line = next(&lines);
    assert_eq!((&line["status"], &line["flags"]), (&404.into(), &"NR".into()), "{line}");
    assert!(line.get("route").is_none() && line.get("endpoint").is_none(), "{line}");

    assert_eq!(get(port.address(), "/teapot").status, 418);
    assert_eq!(next(&lines)["status"], 418);
    assert!(proxy.drain(PATIENCE));
    assert!(lines.recv().is_err(), "a line too many");
}

#[test]
fn one_line_per_refused_connection() {
    let echo = Echo::start("echo");
    let (proxy, port, lines) = logged(limit(1), &echo);
    let _held = connect(port.address());
    eventually("it is past accept", || proxy.open_connections() == 1);
    assert!(is_refused(port.address()));
    let line = next(&lines);
    assert_eq!(
        (&line["refused"], &line["listener"]),
        (&"over_connection_limit".into(), &"default/eg/web".into())
    );
}

/// The values of a series, by the start of its line.
pub fn value(proxy: &Proxy, family: &str, labels: &[&str]) -> Option<f64> {
    let text = TextEncoder::new().encode_to_string(&proxy.metrics().gather()).unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with(family) && !line.starts_with('#'));
    let line = lines.find(|line| labels.iter().all(|label| line.contains(label)))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn requests_and_connections_are_counted() {
    let echo = Echo::start("echo");
    let (proxy, port, _lines) = logged(limit(1), &echo);
    for target in ["/echo", "/echo/2", "/nowhere"] {
        get(port.address(), target);
        eventually("the slot is free", || proxy.open_connections() == 0);
    }
    let counted = |family, labels: &[&str], count| {
        eventually(&format!("{family} {labels:?} is {count}"), || {
            value(&proxy, family, labels) == Some(count)
        });
    };
    counted("gateway_requests_total", &["route=\"default/echo\"", "code=\"2xx\"", "rule=\"0\""], 2.0);
    counted("gateway_requests_total", &["route=\"\"", "code=\"4xx\""], 1.0);
    counted("gateway_request_duration_seconds_count", &["route=\"default/echo\""], 2.0);
    counted("gateway_upstream_requests_total", &["upstream=\"Service default/"], 2.0);
    counted("gateway_connections_accepted_total", &["listener=\"default/eg/web\""], 3.0);
    let held = connect(port.address());
    counted("gateway_connections_open", &["listener=\"default/eg/web\""], 1.0);
    assert!(is_refused(port.address()));
    counted(
        "gateway_connections_refused_total",
        &["reason=\"over_connection_limit\"", "tier=\"accept\""],
        1.0,
    );
    drop(held);
    counted("gateway_connections_open", &["listener=\"default/eg/web\""], 0.0);
}

#[test]
fn series_go_with_what_they_are_about() {
    let echo = Echo::start("echo");
    let (mut proxy, port, _lines) = logged(ClientSettings::default(), &echo);
    assert_eq!(get(port.address(), "/echo").status, 200);
    let requests = |proxy: &Proxy| value(proxy, "gateway_requests_total", &["route=\"default/echo\""]);
    eventually("the request is counted", || requests(&proxy) == Some(1.0));
    publish(&mut proxy, gateway(Vec::new()));
    eventually("its series is gone", || requests(&proxy).is_none());
    assert!(value(&proxy, "gateway_connections_open", &["default/eg/web"]).is_none());
    assert!(proxy.drain(Duration::from_secs(20)));
}
