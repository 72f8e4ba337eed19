//! Heads and bodies read a second time, by other means: whole, with splits and searches, and with no regard for
//! cost. What it takes is what RFC 9112 and the choices of the codec's documentation say.

use super::super::Framing;

/// Names in lower case and values, in the order that they came in.
pub(super) type FieldList = Vec<(String, Vec<u8>)>;

/// A request or response line and its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The three parts of the first line, of a response without its reason.
    pub(super) line: [Vec<u8>; 3],
    pub(super) fields: FieldList,
    pub(super) body: Framing,
    pub(super) keep_alive: bool,
    /// Bytes of the head, with empty lines before it.
    pub(super) length: usize,
}

/// The request at the beginning of `bytes`, if there is one, whole and valid.
pub(super) fn request(bytes: &[u8]) -> Option<Message> {
    let mut begin = 0;
    while begin < 4 && bytes[begin..].starts_with(b"\r\n") {
        begin += 2;
    }
    let (lines, length) = lines(&bytes[begin..])?;
    let parts: Vec<&[u8]> = lines[0].split(|byte| *byte == b' ').collect();
    let [method, target, version] = parts[..] else { return None };
    let fields = fields(&lines[1..])?;
    let hosts: Vec<&[u8]> = values(&fields, "host").collect();
    let [host] = hosts[..] else { return None };
    let current = is_current(version)?;
    let body = framing(&fields, current)?.unwrap_or(Framing::Empty);
    let connect = method == b"CONNECT";
    let valid = is_token(method)
        && is_host(host)
        && (if connect { host.eq_ignore_ascii_case(target) } else { is_target(target, method, host) })
        && !(connect && (!host.contains(&b':') || host.ends_with(b"]") || body != Framing::Empty));
    valid.then(|| Message {
        line: [method.to_vec(), target.to_vec(), version.to_vec()],
        keep_alive: persists(&fields, current),
        fields,
        body,
        length: begin + length,
    })
}

/// The response at the beginning of `bytes`, to a request of that method, if there is one, whole and valid.
pub(super) fn response(bytes: &[u8], method: &str) -> Option<Message> {
    let (lines, length) = lines(bytes)?;
    let mut parts = lines[0].splitn(3, |byte| *byte == b' ');
    let (version, status) = (parts.next()?, parts.next()?);
    let reason = parts.next().unwrap_or_default();
    let number: u16 = str::from_utf8(status).ok()?.parse().ok()?;
    if !is_text(reason) || status.len() != 3 || status[0] == b'+' || !(100..600).contains(&number) {
        return None;
    }
    let current = is_current(version)?;
    let fields = fields(&lines[1..])?;
    let announced = framing(&fields, current)?;
    let never = number < 200 || number == 204;
    let body = match number {
        101 => Framing::UntilClose,
        _ if never || number == 304 || method == "HEAD" => Framing::Empty,
        200..300 if method == "CONNECT" => Framing::Empty,
        _ => announced.unwrap_or(Framing::UntilClose),
    };
    let lies = never && !matches!(announced, None | Some(Framing::Length(0)));
    Some(Message {
        line: [version.to_vec(), status.to_vec(), Vec::new()],
        keep_alive: persists(&fields, current) && body != Framing::UntilClose && !lies,
        fields,
        body,
        length,
    })
}

/// The data of a chunked body, its trailer fields in lower case, and its length.
pub(super) fn chunked(mut bytes: &[u8]) -> Option<(Vec<u8>, FieldList, usize)> {
    let whole = bytes.len();
    let mut data = Vec::new();
    loop {
        let end = find(bytes, b"\r\n")?;
        let line = &bytes[..end];
        bytes = &bytes[end + 2..];
        let digits = line.split(|byte| *byte == b';').next()?;
        let valid = digits.iter().all(u8::is_ascii_hexdigit) && digits.len() <= 16;
        if !valid || !is_text(&line[digits.len()..]) {
            return None;
        }
        let size = usize::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let chunk = bytes.get(..size)?;
        data.extend_from_slice(chunk);
        bytes = bytes[size..].strip_prefix(b"\r\n")?;
    }
    if let Some(rest) = bytes.strip_prefix(b"\r\n") {
        return Some((data, Vec::new(), whole - rest.len()));
    }
    let (lines, length) = lines(bytes)?;
    Some((data, fields(&lines)?, whole - bytes.len() + length))
}

/// The lines up to the empty one, without their ends, and their length with all ends.
fn lines(bytes: &[u8]) -> Option<(Vec<&[u8]>, usize)> {
    let end = find(bytes, b"\r\n\r\n")?;
    let mut lines = Vec::new();
    let mut rest = &bytes[..end + 2];
    while let Some(place) = find(rest, b"\r\n") {
        lines.push(&rest[..place]);
        rest = &rest[place + 2..];
    }
    let broken = lines.iter().any(|line| line.contains(&b'\r') || line.contains(&b'\n'));
    (!broken && end + 4 <= 60 << 10).then_some((lines, end + 4))
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn fields(lines: &[&[u8]]) -> Option<FieldList> {
    let fields: Option<Vec<_>> = lines.iter().map(|line| field(line)).collect();
    fields.filter(|fields| fields.len() <= 100)
}

fn field(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, mut value) = (&line[..colon], &line[colon + 1..]);
    while let Some(rest) = value.strip_prefix(b" ").or_else(|| value.strip_prefix(b"\t")) {
        value = rest;
    }
    while let Some(rest) = value.strip_suffix(b" ").or_else(|| value.strip_suffix(b"\t")) {
        value = rest;
    }
    let name_text = String::from_utf8(name.to_ascii_lowercase()).ok()?;
    (is_token(name) && is_text(value)).then(|| (name_text, value.to_vec()))
}

fn values<'a>(fields: &'a [(String, Vec<u8>)], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.0 == name).map(|field| &field.1[..])
}

/// `Some(None)` if no field speaks of it.
fn framing(fields: &[(String, Vec<u8>)], current: bool) -> Option<Option<Framing>> {
    let lengths: Vec<&[u8]> = values(fields, "content-length").collect();
    let codings: Vec<&[u8]> = values(fields, "transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Some(None),
        ([length], []) if length.iter().all(u8::is_ascii_digit) => {
            Some(Some(Framing::Length(str::from_utf8(length).ok()?.parse().ok()?)))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && current => Some(Some(Framing::Chunked)),
        _ => None,
    }
    .filter(|_| options(fields).iter().all(|option| option.is_empty() || is_token(option.as_bytes())))
}

fn options(fields: &[(String, Vec<u8>)]) -> Vec<String> {
    let all: Vec<&[u8]> = values(fields, "connection").collect();
    let all = String::from_utf8_lossy(&all.join(&b","[..])).to_ascii_lowercase();
    all.split(',').map(|option| option.trim_matches([' ', '\t']).to_owned()).collect()
}

fn persists(fields: &[(String, Vec<u8>)], current: bool) -> bool {
    let options = options(fields);
    let says = |option: &str| options.iter().any(|other| other == option);
    !says("close") && (current || says("keep-alive"))
}

fn is_current(version: &[u8]) -> Option<bool> {
    match version {
        b"HTTP/1.1" => Some(true),
        b"HTTP/1.0" => Some(false),
        _ => None,
    }
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.iter().all(|byte| (33..127).contains(byte) && !b"\"(),/:;<=>?@[\\]{}".contains(byte))
}

fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 127))
}

fn is_target(target: &[u8], method: &[u8], host: &[u8]) -> bool {
    let Ok(target) = str::from_utf8(target) else { return false };
    if target == "*" {
        return method == b"OPTIONS";
    }
    let lower = target.to_ascii_lowercase();
    let path = match lower.strip_prefix("http://").or_else(|| lower.strip_prefix("https://")) {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            if !rest.as_bytes()[..end].eq_ignore_ascii_case(host) {
                return false;
            }
            &rest[end..]
        }
        None if target.starts_with('/') => target,
        None => return false,
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    path.bytes().all(|byte| (33..127).contains(&byte) && !b"#<>`".contains(&byte))
        && query.bytes().all(|byte| (33..127).contains(&byte) && !b"#<>\"".contains(&byte))
}

fn is_host(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else { return false };
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, "0"),
    };
    let port_valid = port.len() <= 5 && !port.starts_with('+') && port.parse::<u16>().is_ok();
    let name_valid = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let odd = |byte: u8| !byte.is_ascii_alphanumeric() && !b"-._~!$&'()*+,;=".contains(&byte);
            !name.is_empty() && !name.bytes().any(odd)
        }
    };
    port_valid && name_valid
}
