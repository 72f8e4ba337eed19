use std::{fmt::Display, time::SystemTime};

use super::{
    Names, Record, Unserved,
    format::{Millis, Timestamp, print, protocol, tls_version, tlvs},
};

/// The keys of a request's object: `time`, `client`, `peer`, `local`, `method`, `authority`, `path` (with its
/// query, as received), `protocol`, `status`, `flags`, `detail`, `bytes_received`, `bytes_sent`,
/// `duration_ms`, `listener`, `route`, `rule`, `upstream`, `endpoint`, `upstream_duration_ms`, `attempts`
/// (at the backend, where there was more than one), `tls_version`, `sni`, `request_id`, `user_agent`; where there was a PROXY header `destination` (where the client connected to; `local`
/// is our end of the socket) and, for each of its TLVs, `tlv_alpn`, `tlv_authority`, `tlv_unique_id`, `tlv_netns`,
/// `tlv_ssl_version`, `tlv_ssl_cn`, `tlv_ssl_cipher`, `tlv_ssl_sig_alg`, `tlv_ssl_key_alg`, `tlv_ssl_verify`,
/// `tlv_0xe0` to `tlv_0xff`. What is absent is left out; keys are never renamed.
pub(super) fn request(line: &mut String, record: &Record, names: &Names<'_>) {
    line.push('{');
    raw(line, "time", Timestamp(record.started));
    raw(line, "client", record.client);
    raw(line, "peer", names.source.peer);
    raw(line, "local", names.source.local);
    if let Some(proxied) = names.source.proxied {
        raw(line, "destination", proxied.destination);
    }
    raw(line, "method", &record.method);
    if let Some(authority) = &record.authority {
        text(line, "authority", authority.as_bytes());
    }
    let target = record.target.path_and_query().map_or("", |target| target.as_str());
    text(line, "path", target.as_bytes());
    raw(line, "protocol", protocol(record.version));
    if let Some(status) = record.status {
        number(line, "status", status.as_u16());
    }
    if !record.flags.is_empty() {
        raw(line, "flags", record.flags);
    }
    if let Some(detail) = &record.detail {
        text(line, "detail", detail.as_bytes());
    }
    number(line, "bytes_received", record.bytes_received);
    number(line, "bytes_sent", record.bytes_sent);
    number(line, "duration_ms", Millis(record.duration));
    route(line, record, names);
    if let Some(id) = &record.request_id {
        text(line, "request_id", id.as_bytes());
    }
    if let Some(agent) = &record.user_agent {
        text(line, "user_agent", agent.as_bytes());
    }
    tlvs(names, |key, value| text(line, key, value));
    line.push_str("}\n");
}

fn route(line: &mut String, record: &Record, names: &Names<'_>) {
    raw(line, "listener", names.listener);
    if let Some(rule) = names.rule {
        raw(line, "route", &rule.route);
        match &rule.name {
            Some(name) => text(line, "rule", name.as_bytes()),
            None => raw(line, "rule", rule.index),
        }
    }
    if let Some(upstream) = names.upstream {
        text(line, "upstream", upstream.as_bytes());
    }
    if let Some(attempt) = &record.upstream {
        match attempt.address {
            Some(address) => raw(line, "endpoint", address),
            None => text(line, "endpoint", attempt.endpoint.to_string().as_bytes()),
        }
        if let Some(duration) = attempt.duration {
            number(line, "upstream_duration_ms", Millis(duration));
        }
        if attempt.attempts > 1 {
            number(line, "attempts", attempt.attempts);
        }
    }
    if let Some(version) = names.tls.and_then(|tls| tls.version).and_then(tls_version) {
        raw(line, "tls_version", version);
    }
    if let Some(sni) = names.tls.and_then(|tls| tls.sni.as_deref()) {
        text(line, "sni", sni.as_bytes());
    }
}

/// The keys of a refused connection's object: `time`, `client`, `peer`, `local`, `refused` or `would_refuse` (the
/// reason), `listener`, `tier`, `policy`, `not_told` (a number). What is absent is left out.
pub(super) fn refused(line: &mut String, now: SystemTime, unserved: &Unserved<'_>) {
    let Unserved { fate, reason, tier, listener, policy, source, not_told } = unserved;
    line.push('{');
    raw(line, "time", Timestamp(now));
    raw(line, "client", source.client().ip());
    raw(line, "peer", source.peer);
    raw(line, "local", source.local);
    raw(line, fate.word(), reason);
    raw(line, "listener", listener);
    raw(line, "tier", tier);
    if let Some(policy) = policy {
        raw(line, "policy", policy);
    }
    if *not_told > 0 {
        number(line, "not_told", not_told);
    }
    line.push_str("}\n");
}

fn key(line: &mut String, key: &str) {
    if !line.ends_with('{') {
        line.push(',');
    }
    print(line, format_args!("\"{key}\":"));
}

fn number(line: &mut String, name: &str, value: impl Display) {
    key(line, name);
    print(line, value);
}

/// A text that needs no escapes: ours, or checked when the configuration was read.
fn raw(line: &mut String, name: &str, value: impl Display) {
    key(line, name);
    print(line, format_args!("\"{value}\""));
}

/// A text that a client or a manifest chose (RFC 8259 §7). What is not UTF-8 is replaced; DEL and the C1
/// controls, which terminals obey, are escaped like the controls that must be.
fn text(line: &mut String, name: &str, value: &[u8]) {
    key(line, name);
    line.push('"');
    for letter in String::from_utf8_lossy(value).chars() {
        match letter {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            letter if letter.is_control() => print(line, format_args!("\\u{:04x}", u32::from(letter))),
            letter => line.push(letter),
        }
    }
    line.push('"');
}
