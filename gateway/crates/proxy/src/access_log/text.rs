use std::{fmt::Display, time::SystemTime};

use super::{
    Names, Record, Unserved,
    format::{Millis, Timestamp, print, protocol, tls_version, tlvs},
};

/// For people: when, who, what and how it went, then `key=value` for the rest. What is absent is left out.
///
/// `2026-11-24T12:31:46.123Z 192.0.2.1 "GET shop.test/tea HTTP/1.1" 200 3.214ms in=0 out=12 ...`
pub(super) fn request(line: &mut String, record: &Record, names: &Names<'_>) {
    print(line, format_args!("{} {} \"{} ", Timestamp(record.started), record.client, record.method));
    if let Some(authority) = &record.authority {
        escape(line, authority.as_bytes());
    }
    escape(line, record.target.path().as_bytes());
    if let Some(query) = record.target.query() {
        line.push('?');
        escape(line, query.as_bytes());
    }
    print(line, format_args!(" {}\" ", protocol(record.version)));
    match record.status {
        Some(status) => line.push_str(status.as_str()),
        None => line.push('-'),
    }
    print(line, format_args!(" {}ms", Millis(record.duration)));
    if !record.flags.is_empty() {
        pair(line, "flags", record.flags);
    }
    pair(line, "in", record.bytes_received);
    pair(line, "out", record.bytes_sent);
    pair(line, "listener", names.listener);
    if let Some(rule) = names.rule {
        pair(line, "rule", rule);
    }
    if let Some(upstream) = names.upstream {
        quoted(line, "upstream", upstream.as_bytes());
    }
    if let Some(attempt) = &record.upstream {
        match attempt.address {
            Some(address) => pair(line, "endpoint", address),
            None => quoted(line, "endpoint", attempt.endpoint.to_string().as_bytes()),
        }
        if let Some(duration) = attempt.duration {
            pair(line, "upstream_time", format_args!("{}ms", Millis(duration)));
        }
        if attempt.attempts > 1 {
            pair(line, "attempts", attempt.attempts);
        }
    }
    if names.source.peer.ip() != record.client {
        pair(line, "peer", names.source.peer);
    }
    if let Some(proxied) = names.source.proxied {
        pair(line, "destination", proxied.destination);
    }
    if let Some(version) = names.tls.and_then(|tls| tls.version).and_then(tls_version) {
        pair(line, "tls", version);
    }
    if let Some(sni) = names.tls.and_then(|tls| tls.sni.as_deref()) {
        quoted(line, "sni", sni.as_bytes());
    }
    if let Some(id) = &record.request_id {
        quoted(line, "id", id.as_bytes());
    }
    if let Some(agent) = &record.user_agent {
        quoted(line, "agent", agent.as_bytes());
    }
    if let Some(detail) = &record.detail {
        quoted(line, "detail", detail.as_bytes());
    }
    tlvs(names, |key, value| quoted(line, key, value));
    line.push('\n');
}

/// `2026-11-24T12:31:46.123Z 192.0.2.1:4711 refused over_source_limit listener=default/eg/web tier=accept
/// policy=default/sources local=192.0.2.9:80 not_told=17`
pub(super) fn refused(line: &mut String, now: SystemTime, unserved: &Unserved<'_>) {
    let Unserved { fate, reason, tier, listener, policy, source, not_told } = unserved;
    print(line, format_args!("{} {} {} {reason}", Timestamp(now), source.client(), fate.word()));
    pair(line, "listener", listener);
    pair(line, "tier", tier);
    if let Some(policy) = policy {
        pair(line, "policy", policy);
    }
    if source.proxied.is_some() {
        pair(line, "peer", source.peer);
    }
    pair(line, "local", source.local);
    if *not_told > 0 {
        pair(line, "not_told", not_told);
    }
    line.push('\n');
}

fn pair(line: &mut String, key: &str, value: impl Display) {
    print(line, format_args!(" {key}={value}"));
}

fn quoted(line: &mut String, key: &str, value: &[u8]) {
    print(line, format_args!(" {key}=\""));
    escape(line, value);
    line.push('"');
}

/// Only visible ASCII and blanks are left; quotes and backslashes are escaped too, so that a quoted value ends
/// where it ends.
fn escape(line: &mut String, value: &[u8]) {
    for byte in value {
        match byte {
            b'"' | b'\\' => {
                line.push('\\');
                line.push(char::from(*byte));
            }
            b' '..=b'~' => line.push(char::from(*byte)),
            _ => print(line, format_args!("\\x{byte:02x}")),
        }
    }
}
