//! What two parsers could read differently is refused at the edge, and slow or hostile clients cost a timeout.

use e2e::http::Connection;

use crate::cafe::{Cafe, appliance, policy};

fn open(spec: &str) -> Option<Cafe> {
    let more = [("appliance.yaml", appliance("{mode: Off}")), ("client.yaml", policy(spec))];
    Cafe::open(&more, &[])
}

/// Sends bytes and returns the statuses of all answers until the connection ends.
fn statuses(connection: &mut Connection, bytes: &[u8]) -> Vec<u16> {
    // The gateway may close before all of it is written.
    let _ = connection.send(bytes);
    let _ = connection.shut();
    std::iter::from_fn(|| connection.response().ok()).map(|response| response.status).collect()
}

#[test]
fn ambiguous_requests_are_refused_and_never_reach_a_backend() {
    let Some(cafe) = open("  headers: {requestID: Disable}\n") else { return };
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
    let cases: &[(&str, String)] = &[
        (
            "both framings",
            format!(
                "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "two lengths",
            format!(
                "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\ncontent-length: 35\r\n\r\n{smuggled}"
            ),
        ),
        ("signed length", format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: +0\r\n\r\n{smuggled}")),
        (
            "odd coding",
            format!("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "coding twice",
            format!(
                "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "space before colon",
            format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length : 35\r\n\r\n{smuggled}"),
        ),
        ("bare line feeds", "GET / HTTP/1.1\nhost: x\n\n".to_owned()),
        ("folded line", "GET / HTTP/1.1\r\nhost: x\r\nx-a: b\r\n c: d\r\n\r\n".to_owned()),
        ("two hosts", "GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n".to_owned()),
        ("no host", "GET / HTTP/1.1\r\n\r\n".to_owned()),
        ("NUL in a value", "GET / HTTP/1.1\r\nhost: x\r\nx-a: b\0c\r\n\r\n".to_owned()),
        ("underscore in a name", "GET / HTTP/1.1\r\nhost: x\r\nx_a: b\r\n\r\n".to_owned()),
        ("bare CR", "GET / HTTP/1.1\r\nhost: x\r\nx-a: b\rc\r\n\r\n".to_owned()),
    ];
    for (name, bytes) in cases {
        let mut connection = cafe.connect().expect("the gateway listens");
        let statuses = statuses(&mut connection, bytes.as_bytes());
        assert!(matches!(statuses[..], [400 | 501]), "{name}: {statuses:?}");
    }
    assert!(!cafe.gateway.log().contains("/smuggled"), "{}", cafe.gateway.log());
}

#[test]
fn a_chunk_that_lies_ends_the_connection() {
    let Some(cafe) = open("  headers: {requestID: Disable}\n") else { return };
    for chunk in ["5\r\nhelloX\r\n0\r\n\r\n", "zz\r\n", "fffffffffffffffff\r\n", "5 \r\nhello\r\n0\r\n\r\n"] {
        let mut connection = cafe.connect().expect("the gateway listens");
        let bytes = format!("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunk}");
        let statuses = statuses(&mut connection, bytes.as_bytes());
        assert!(!statuses.contains(&200), "{chunk:?}: {statuses:?}");
    }
}

#[test]
fn oversized_heads_are_answered() {
    let Some(cafe) = open("  headers: {requestID: Disable}\n") else { return };
    let mut connection = cafe.connect().expect("the gateway listens");
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n", "a".repeat(70 << 10));
    assert_eq!(statuses(&mut connection, head.as_bytes()), [431]);
    let mut connection = cafe.connect().expect("the gateway listens");
    let target = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70 << 10));
    let found = statuses(&mut connection, target.as_bytes());
    assert!(matches!(found[..], [414 | 431]), "{found:?}");
}

#[test]
fn a_slow_request_is_answered_408() {
    let Some(cafe) = open("  timeout: {http: {requestReceivedTimeout: 200ms}}\n") else { return };
    let mut connection = cafe.connect().expect("the gateway listens");
    connection.send(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ").expect("sent");
    assert_eq!(connection.response().expect("an answer").status, 408);
    assert_eq!(connection.rest().expect("closed, not reset"), b"");
    let mut connection = cafe.connect().expect("the gateway listens");
    connection.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhello").expect("sent");
    assert_eq!(connection.response().expect("an answer").status, 408);
}

#[test]
fn an_idle_connection_is_closed() {
    let Some(cafe) = open("  timeout: {http: {idleTimeout: 200ms}}\n") else { return };
    let mut connection = cafe.connect().expect("the gateway listens");
    assert_eq!(connection.get("x", "/").expect("served").status, 200);
    // Stray line ends are no request and do not keep it open.
    let _ = connection.send(b"\r\n");
    assert_eq!(connection.rest().unwrap_or_default(), b"");
}

#[test]
fn a_websocket_is_tunnelled() {
    let Some(cafe) = open("  headers: {requestID: Disable}\n") else { return };
    let mut connection = cafe.connect().expect("the gateway listens");
    let upgrade = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
    connection.send(upgrade.as_bytes()).expect("sent");
    assert_eq!(connection.response().expect("an answer").status, 101);
    for message in ["hello", "again"] {
        connection.send(message.as_bytes()).expect("sent");
        assert_eq!(connection.exactly(5).expect("echoed"), message.as_bytes());
    }
    connection.shut().expect("open");
    assert_eq!(connection.rest().expect("ended, not reset"), b"");
}
