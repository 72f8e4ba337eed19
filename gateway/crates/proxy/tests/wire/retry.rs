//! Requests that are sent to their backend again, and those that are not.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use ir::{
    AccessLogFormat, Action, BackendTarget, ClientSettings, HttpRule, Retry, RouteTimeouts, RuleId, Upstream,
    UpstreamProtocol,
};
use proxy::{Options, Proxy, access_log::Sink};
use serde_json::Value;

use crate::{backend::*, configure::*, h2_backend, record::value, rules::*, script::*};

/// What a backend does with one request.
#[derive(Clone, Copy)]
enum Step {
    /// Answers with this status and the request's body, if it says how long that is.
    Answer(u16),
    /// Closes without a word.
    Close,
    /// Says nothing, and waits for the other side to go.
    Silence,
}

/// A backend that goes through its steps, over all connections; the last one holds for all later requests.
struct Flaky {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<usize>>>,
}

impl Flaky {
    fn start(steps: &'static [Step]) -> Self {
        let bodies = Arc::<Mutex<Vec<usize>>>::default();
        let keep = Arc::clone(&bodies);
        let script = Script::start(move |mut stream, _| {
            while let Some(head) = read_head(&mut stream) {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let body = read_exactly(&mut stream, length.map_or(0, |length| length.parse().unwrap()));
                let turn = {
                    let mut bodies = keep.lock().unwrap();
                    bodies.push(body.len());
                    bodies.len() - 1
                };
                match steps[turn.min(steps.len() - 1)] {
                    Step::Answer(status) => {
                        let head =
                            format!("HTTP/1.1 {status} Said\r\ncontent-length: {}\r\n\r\n", body.len());
                        stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
                    }
                    Step::Close => return,
                    Step::Silence => {
                        let _ = stream.read_to_end(&mut Vec::new());
                    }
                }
            }
        });
        Self { address: script.address, bodies }
    }

    /// Requests that have come.
    fn asked(&self) -> usize {
        self.bodies.lock().unwrap().len()
    }
}

/// A proxy with one rule that retries, and its access log.
struct Bench {
    proxy: Proxy,
    port: ReservedPort,
    lines: Receiver<String>,
}

impl Bench {
    fn new(target: BackendTarget, timeouts: RouteTimeouts, retry: Retry) -> Self {
        let (sender, lines) = channel();
        let mut proxy =
            start_with(Options { workers: Some(1), access_log: Sink::Channel(sender), ..Options::default() });
        let port = ReservedPort::new();
        let rule = HttpRule {
            id: RuleId { route: "default/all".into(), index: 0, name: None },
            filters: Box::default(),
            action: Action::Forward(vec![choice(1, target)]),
            timeouts,
            retry: Some(retry),
        };
        let hosts = vec![host(None, vec![(prefix("/"), Arc::new(rule))])];
        let mut config = gateway(vec![bind(port.key(), ClientSettings::default(), hosts)]);
        config.appliance.log_format = AccessLogFormat::Json;
        publish(&mut proxy, config);
        Self { proxy, port, lines }
    }

    fn to(addresses: Vec<SocketAddr>, retry: Retry) -> Self {
        Self::new(upstream(addresses), RouteTimeouts::default(), retry)
    }

    /// What a request is answered, and the flags and attempts of its line.
    fn ask(&self, method: &str, body: &str) -> (u16, Value, Value) {
        let length = format!("content-length: {}", body.len());
        let mut stream = connect(self.port.address());
        let mut head = format!("{method} / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
        if !body.is_empty() {
            head.push_str(&format!("{length}\r\n"));
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
        let answer = read_answer(stream);
        let mut line: Value = serde_json::from_str(&self.lines.recv_timeout(PATIENCE).unwrap()).unwrap();
        (answer.status, line["flags"].take(), line["attempts"].take())
    }

    fn counted(&self, family: &str, label: &str) -> f64 {
        value(&self.proxy, family, &[label]).unwrap_or_default()
    }
}

/// Retries of 503 without a wait worth the name.
fn retry(attempts: u32) -> Retry {
    Retry { codes: vec![500, 503], attempts: Some(attempts), backoff: Some(ir::Duration::from_millis(1)) }
}

const NONE: Value = Value::Null;

#[test]
fn a_listed_code_costs_attempts_until_there_is_another_answer() {
    let backend = Flaky::start(&[Step::Answer(503), Step::Answer(500), Step::Answer(200)]);
    let bench = Bench::to(vec![backend.address], retry(3));
    assert_eq!(bench.ask("GET", ""), (200, NONE, 3.into()));
    assert_eq!(backend.asked(), 3);
    assert_eq!(bench.counted("gateway_upstream_retries_total", "result=\"answered\""), 1.0);
    assert_eq!(bench.counted("gateway_upstream_retries_total", "result=\"failed\""), 1.0);
    assert_eq!(bench.ask("GET", ""), (200, NONE, NONE));
}

#[test]
fn the_last_answer_is_the_clients_when_no_attempt_is_left() {
    let backend = Flaky::start(&[Step::Answer(503)]);
    let bench = Bench::to(vec![backend.address], retry(2));
    assert_eq!(bench.ask("GET", ""), (503, "URX".into(), 3.into()));
    assert_eq!(backend.asked(), 3);
}

#[test]
fn a_code_that_is_not_listed_is_an_answer() {
    let backend = Flaky::start(&[Step::Answer(502), Step::Answer(200)]);
    let bench = Bench::to(vec![backend.address], retry(3));
    assert_eq!(bench.ask("GET", ""), (502, NONE, NONE));
}

/// RFC 9110 §9.2.2: nobody but the client knows whether a POST may be done twice.
#[test]
fn what_is_not_idempotent_is_sent_again_only_if_nobody_has_seen_it() {
    for step in [Step::Answer(503), Step::Close] {
        let backend = Flaky::start(match step {
            Step::Close => &[Step::Close],
            _ => &[Step::Answer(503)],
        });
        let bench = Bench::to(vec![backend.address], retry(3));
        assert_eq!(bench.ask("POST", "tea").0, 503);
        assert_eq!(backend.asked(), 1);
    }
    let nobody = ReservedPort::new();
    let bench = Bench::to(vec![nobody.address()], retry(3));
    assert_eq!(bench.ask("POST", "tea"), (503, "UF".into(), 4.into()));
    assert_eq!(bench.counted("gateway_upstream_retries_total", "result=\"failed\""), 3.0);
    assert_eq!(bench.counted("gateway_upstream_failures_total", "reason=\"UF\""), 4.0);
}

#[test]
fn a_backend_that_closes_without_an_answer_costs_an_attempt() {
    let backend = Flaky::start(&[Step::Close, Step::Close, Step::Answer(200)]);
    let bench = Bench::to(vec![backend.address], Retry { codes: Vec::new(), ..retry(2) });
    assert_eq!(bench.ask("GET", ""), (200, NONE, 3.into()));
}

#[test]
fn a_body_is_sent_again_whole_up_to_a_bound() {
    let backend = Flaky::start(&[Step::Answer(503), Step::Answer(503), Step::Answer(200)]);
    let bench = Bench::to(vec![backend.address], retry(3));
    assert_eq!(bench.ask("PUT", &"x".repeat(60_000)).0, 200);
    assert_eq!(*backend.bodies.lock().unwrap(), [60_000; 3]);

    let backend = Flaky::start(&[Step::Answer(503), Step::Answer(200)]);
    let bench = Bench::to(vec![backend.address], retry(3));
    assert_eq!(bench.ask("PUT", &"x".repeat(70_000)).0, 503);
    assert_eq!(*backend.bodies.lock().unwrap(), [70_000]);
}

#[test]
fn an_attempt_that_takes_too_long_costs_another_one() {
    let backend = Flaky::start(&[Step::Silence, Step::Answer(200)]);
    let timeouts = RouteTimeouts { request: None, backend_request: Some(Duration::from_millis(100)) };
    let bench = Bench::new(upstream(vec![backend.address]), timeouts, retry(1));
    assert_eq!(bench.ask("GET", ""), (200, NONE, 2.into()));
    assert_eq!(bench.counted("gateway_upstream_failures_total", "reason=\"UT\""), 1.0);
}

#[test]
fn the_requests_timeout_bounds_attempts_and_the_waits_between_them() {
    let timeouts = RouteTimeouts { request: Some(Duration::from_millis(200)), backend_request: None };
    let hour = Some(ir::Duration::from_secs(3_600));
    let backend = Flaky::start(&[Step::Answer(503), Step::Answer(200)]);
    let waits = Retry { backoff: hour, ..retry(3) };
    let bench = Bench::new(upstream(vec![backend.address]), timeouts.clone(), waits);
    assert_eq!(bench.ask("GET", ""), (504, "UT".into(), NONE));
    assert_eq!(backend.asked(), 1);

    let backend = Flaky::start(&[Step::Answer(503), Step::Silence]);
    let bench = Bench::new(upstream(vec![backend.address]), timeouts, retry(3));
    assert_eq!(bench.ask("GET", ""), (504, "UT".into(), 2.into()));
}

#[test]
fn another_attempt_goes_to_another_endpoint() {
    let (bad, good) = (Flaky::start(&[Step::Answer(503)]), Flaky::start(&[Step::Answer(200)]));
    let bench = Bench::to(vec![bad.address, good.address], retry(1));
    for _ in 0..6 {
        assert_eq!(bench.ask("GET", "").0, 200);
    }
    assert_eq!(good.asked(), 6);
    assert!(bad.asked() > 0);
}

#[test]
fn http_2_is_retried_too() {
    let bodies = Arc::<Mutex<Vec<Vec<u8>>>>::default();
    let keep = Arc::clone(&bodies);
    let backend = h2_backend::Backend::answering(move |request, mut respond| {
        let keep = Arc::clone(&keep);
        async move {
            let mut body = request.into_body();
            let mut read = Vec::new();
            while let Some(data) = body.data().await {
                let data: Bytes = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                read.extend_from_slice(&data);
            }
            let status = if keep.lock().unwrap().is_empty() { 503 } else { 200 };
            keep.lock().unwrap().push(read);
            respond.send_response(Response::builder().status(status).body(()).unwrap(), true).unwrap();
        }
    });
    let BackendTarget::Upstream(plain) = upstream(vec![backend.address]) else { unreachable!("it is one") };
    let h2c = Upstream { protocol: UpstreamProtocol::H2c, ..(*plain).clone() };
    let target = BackendTarget::Upstream(Arc::new(h2c));
    let bench = Bench::new(target, RouteTimeouts::default(), retry(1));
    assert_eq!(bench.ask("PUT", "tea"), (200, NONE, 2.into()));
    assert_eq!(*bodies.lock().unwrap(), [b"tea", b"tea"]);
    assert_eq!(bench.ask("GET", "").0, 200);
}
