use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, mpsc},
    time::{Duration, UNIX_EPOCH},
};

use http::{HeaderValue, Request, StatusCode, request::Parts};
use ir::{AccessLogFormat, EndpointAddress, ListenerId, PolicyName, RuleId};
use prometheus::IntCounter;

use super::{Fate, Names, Record, Sink, Unserved, Upstreamed, Writer, format};
use crate::{
    connection::TlsInfo,
    refusal::Refusal,
    sources::{Proxied, Source, Tlvs},
};

fn source() -> Source {
    Source { peer: "192.0.2.9:5".parse().unwrap(), local: "192.0.2.1:443".parse().unwrap(), proxied: None }
}

fn head(target: &str, headers: &[(&str, &[u8])]) -> Parts {
    let mut request = Request::builder().uri(target);
    for (name, value) in headers {
        request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
    }
    request.body(()).unwrap().into_parts().0
}

fn line(format: AccessLogFormat, record: &Record, rule: Option<&RuleId>) -> String {
    line_of(format, record, rule, &source(), None)
}

fn line_of(
    format: AccessLogFormat,
    record: &Record,
    rule: Option<&RuleId>,
    source: &Source,
    tlvs: Option<&Tlvs>,
) -> String {
    let names = Names {
        listener: &ListenerId("default/eg/web".into()),
        rule,
        upstream: rule.map(|_| "Service default/tea:80"),
        source,
        tlvs,
        tls: Some(&TlsInfo {
            sni: Some("shop.test".into()),
            version: Some(rustls::ProtocolVersion::TLSv1_3),
        }),
    };
    let mut line = String::new();
    format::request(&mut line, format, record, &names);
    line
}

/// A request with everything that a line can hold.
fn full() -> (Record, RuleId) {
    let mut head =
        head("/tea?x=1", &[("host", b"shop.test"), ("user-agent", b"curl/8"), ("cookie", b"s3cret")]);
    head.headers.insert("authorization", HeaderValue::from_static("Bearer s3cret"));
    let mut record = Record::begin(&head, UNIX_EPOCH, &source());
    head.headers.insert("x-request-id", HeaderValue::from_static("id-1"));
    record.identify(&head, "203.0.113.7".parse().unwrap());
    record.status = Some(StatusCode::BAD_GATEWAY);
    record.flags = "UPE";
    record.detail = Some("a \"bad\" response".into());
    (record.bytes_received, record.bytes_sent) = (3, 14);
    record.duration = Duration::from_micros(3_214);
    record.upstream = Some(Upstreamed {
        endpoint: EndpointAddress::Dns { host: "tea.test".into(), port: 80 },
        address: "127.0.0.1:8080".parse().ok(),
        duration: Some(Duration::from_micros(2_005)),
        attempts: 3,
        exhausted: false,
    });
    (record, RuleId { route: "default/tea".into(), index: 1, name: None })
}

#[test]
fn text_is_for_people() {
    let (record, rule) = full();
    assert_eq!(
        line(AccessLogFormat::Text, &record, Some(&rule)),
        "1970-01-01T00:00:00.000Z 203.0.113.7 \"GET shop.test/tea?x=1 HTTP/1.1\" 502 3.214ms flags=UPE in=3 out=14 \
         listener=default/eg/web rule=default/tea/1 upstream=\"Service default/tea:80\" endpoint=127.0.0.1:8080 \
         upstream_time=2.005ms attempts=3 peer=192.0.2.9:5 tls=1.3 sni=\"shop.test\" id=\"id-1\" agent=\"curl/8\" \
         detail=\"a \\\"bad\\\" response\"\n"
    );
}

/// A header from 203.0.113.7 to 198.51.100.1, with a version of TLS and a value that is long and hostile.
fn introduced() -> (Source, Tlvs) {
    let ends = ["203.0.113.7:5", "198.51.100.1:443"].map(|end| end.parse().unwrap());
    let proxied = Some(Proxied { source: ends[0], destination: ends[1] });
    let own = [b"\xea\x01\0", &[0xab; 256][..]].concat();
    let tlvs = [b"\x02\0\x04a\"\n\x9b\x20\0\x0c\x01\0\0\0\x01\x21\0\x04TLSx", &own[..]].concat();
    let length = (12 + tlvs.len()) as u16;
    let header = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11", &length.to_be_bytes()[..], &[7; 12], &tlvs].concat();
    (Source { proxied, ..source() }, Tlvs::of_header(&header).unwrap().unwrap())
}

#[test]
fn what_a_proxy_header_says_is_told_escaped_and_cut() {
    let (record, _) = full();
    let (source, tlvs) = introduced();
    let text = line_of(AccessLogFormat::Text, &record, None, &source, Some(&tlvs));
    assert!(text.contains(" destination=198.51.100.1:443 "), "{text}");
    let cut = "ab".repeat(128);
    let told = format!(
        " tlv_authority=\"a\\\"\\x0a\\x9b\" tlv_ssl_version=\"TLSx\" tlv_ssl_verify=\"1\" tlv_0xea=\"{cut}\"\n"
    );
    assert!(text.ends_with(&told), "{text}");
    let json = line_of(AccessLogFormat::Json, &record, None, &source, Some(&tlvs));
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (key, value) in [
        ("local", "192.0.2.1:443"),
        ("destination", "198.51.100.1:443"),
        ("tlv_authority", "a\"\n\u{fffd}"),
        ("tlv_ssl_version", "TLSx"),
        ("tlv_ssl_verify", "1"),
        ("tlv_0xea", &cut),
    ] {
        assert_eq!(object[key], value, "{key}");
    }
    assert!(!json.trim_end().contains(['\n', '\u{9b}']), "{json}");
}

#[test]
fn json_has_stable_keys() {
    let (record, rule) = full();
    let text = line(AccessLogFormat::Json, &record, Some(&rule));
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    let expected = serde_json::json!({
        "time": "1970-01-01T00:00:00.000Z", "client": "203.0.113.7", "peer": "192.0.2.9:5",
        "local": "192.0.2.1:443", "method": "GET", "authority": "shop.test", "path": "/tea?x=1",
        "protocol": "HTTP/1.1", "status": 502, "flags": "UPE", "detail": "a \"bad\" response",
        "bytes_received": 3, "bytes_sent": 14, "duration_ms": 3.214, "listener": "default/eg/web",
        "route": "default/tea", "rule": "1", "upstream": "Service default/tea:80",
        "endpoint": "127.0.0.1:8080", "upstream_duration_ms": 2.005, "attempts": 3, "tls_version": "1.3", "sni": "shop.test",
        "request_id": "id-1", "user_agent": "curl/8",
    });
    assert_eq!(object, expected);
}

#[test]
fn what_is_absent_is_left_out() {
    let record = Record::begin(&head("/", &[]), UNIX_EPOCH, &source());
    let object: serde_json::Value =
        serde_json::from_str(&line(AccessLogFormat::Json, &record, None)).unwrap();
    let keys: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "time",
        "client",
        "peer",
        "local",
        "method",
        "path",
        "protocol",
        "bytes_received",
        "bytes_sent",
        "duration_ms",
        "listener",
        "tls_version",
        "sni",
    ];
    assert_eq!(keys, BTreeSet::from(expected));
    assert_eq!(
        line(AccessLogFormat::Text, &record, None),
        "1970-01-01T00:00:00.000Z 192.0.2.9 \"GET / HTTP/1.1\" - 0.000ms in=0 out=0 listener=default/eg/web \
         tls=1.3 sni=\"shop.test\"\n"
    );
}

#[test]
fn nothing_that_a_client_sends_breaks_a_line_or_leaks() {
    let agent = b"a\" b\\ \t\xff\xc2\x9b\xc3\xa9";
    let mut record =
        Record::begin(&head("/%0a\\\"", &[("user-agent", agent), ("host", b"h\"")]), UNIX_EPOCH, &source());
    record.detail = Some("two\r\nlines\x1b[0m\x7f".into());
    let text = line(AccessLogFormat::Text, &record, None);
    assert!(text.contains(r#" agent="a\" b\\ \x09\xff\xc2\x9b\xc3\xa9""#), "{text}");
    assert!(text.contains(r#" detail="two\x0d\x0alines\x1b[0m\x7f""#), "{text}");
    assert!(text.contains(r#" "GET h\"/%0a\\"#), "{text}");
    let json = line(AccessLogFormat::Json, &record, None);
    assert!(json.contains(r"two\u000d\u000alines\u001b[0m\u007f"), "{json}");
    let object: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(object["user_agent"], "a\" b\\ \t\u{fffd}\u{9b}é");
    for line in [text, json] {
        assert_eq!(line.matches(char::is_control).collect::<Vec<_>>(), ["\n"]);
    }
    let (record, rule) = full();
    for format in [AccessLogFormat::Text, AccessLogFormat::Json] {
        assert!(!line(format, &record, Some(&rule)).contains("s3cret"));
    }
}

#[test]
fn refused_connections_have_a_line_too() {
    let (sender, lines) = mpsc::channel();
    let writer = Writer::start(Sink::Channel(sender), dropped()).unwrap();
    let listener = ListenerId("default/eg/web".into());
    let policy = PolicyName("default/limits".into());
    let unserved = unserved(&listener, Refusal::OverConnectionLimit);
    writer.refused(AccessLogFormat::Text, &Unserved { policy: Some(&policy), not_told: 17, ..unserved });
    writer.refused(AccessLogFormat::Json, &Unserved { reason: "proxy_untrusted", ..unserved });
    let would =
        Unserved { fate: Fate::WouldRefuse, tier: "xdp", policy: Some(&policy), not_told: 3, ..unserved };
    writer.refused(AccessLogFormat::Json, &would);
    drop(writer);
    let lines: Vec<String> = lines.iter().collect();
    let (_, text) = lines[0].split_once(' ').unwrap();
    assert_eq!(
        text,
        "192.0.2.9:5 refused over_connection_limit listener=default/eg/web tier=accept policy=default/limits \
         local=192.0.2.1:443 not_told=17"
    );
    let object: serde_json::Value = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!((&object["refused"], &object["client"]), (&"proxy_untrusted".into(), &"192.0.2.9".into()));
    let mut object: serde_json::Value = serde_json::from_str(&lines[2]).unwrap();
    object["time"].take();
    let expected = serde_json::json!({
        "time": null, "client": "192.0.2.9", "peer": "192.0.2.9:5", "local": "192.0.2.1:443",
        "would_refuse": "over_connection_limit", "listener": "default/eg/web", "tier": "xdp",
        "policy": "default/limits", "not_told": 3,
    });
    assert_eq!(object, expected);
    assert_eq!(lines.len(), 3);
}

/// A line without a policy.
fn unserved(listener: &ListenerId, refusal: Refusal) -> Unserved<'_> {
    const SOURCE: Source = Source {
        peer: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 9), 5)),
        local: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 443)),
        proxied: None,
    };
    let (fate, reason, tier) = (Fate::Refused, refusal.reason(), crate::refusal::TIER);
    Unserved { fate, reason, tier, listener, policy: None, source: &SOURCE, not_told: 0 }
}

fn dropped() -> IntCounter {
    IntCounter::new("dropped", "lines").unwrap()
}

#[test]
fn every_line_of_every_writer_arrives_before_the_end() {
    let (sender, lines) = mpsc::channel();
    let first = Writer::start(Sink::Channel(sender), dropped()).unwrap();
    assert!(first.is_on());
    std::thread::scope(|scope| {
        for writer in [first.clone(), first.clone(), first] {
            scope.spawn(move || {
                for _ in 0..500 {
                    let listener = ListenerId("l".into());
                    writer.refused(AccessLogFormat::Text, &unserved(&listener, Refusal::Timeout));
                }
            });
        }
    });
    assert_eq!(lines.iter().count(), 1_500);
}

#[test]
fn lines_that_nobody_takes_are_counted() {
    let (sender, lines) = mpsc::channel();
    drop(lines);
    let dropped = dropped();
    let writer = Writer::start(Sink::Channel(sender), dropped.clone()).unwrap();
    writer.refused(AccessLogFormat::Text, &unserved(&ListenerId("l".into()), Refusal::Timeout));
    drop(writer);
    assert_eq!(dropped.get(), 1);
}

#[test]
fn a_reader_that_stalls_costs_lines_and_nothing_else() {
    let gate = Arc::new(std::sync::Barrier::new(2));
    let dropped = dropped();
    let stalled = Arc::clone(&gate);
    let writer = Writer::spawn(
        move |_| {
            stalled.wait();
            Ok(())
        },
        dropped.clone(),
    )
    .unwrap();
    let listener = ListenerId("x".repeat(100_000).into());
    let mut lines = 0;
    while dropped.get() == 0 {
        writer.refused(AccessLogFormat::Text, &unserved(&listener, Refusal::Timeout));
        lines += 1;
        assert!(lines < 100, "the pipe has no bound");
    }
    // Whatever is written now, the reader lets it pass.
    std::thread::spawn(move || {
        loop {
            gate.wait();
        }
    });
    drop(writer);
}

#[test]
fn without_a_sink_nothing_is_on() {
    let writer = Writer::start(Sink::Off, dropped()).unwrap();
    assert!(!writer.is_on() && !writer.clone().is_on());
    writer.refused(AccessLogFormat::Text, &unserved(&ListenerId("l".into()), Refusal::Timeout));
}
