use std::ops::Range;

use bytes::Bytes;
use http::{
    Method, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};

use super::{
    bytes::{path_length, query_length},
    host,
};

/// The form of a request target that is not in origin-form, with places in the target (RFC 9112 §3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `/path?query`.
    Origin,
    /// `*`, of OPTIONS.
    Asterisk,
    /// `host:port`, of CONNECT.
    Authority,
    /// `http://host/path`; the authority is there, the path behind it.
    Absolute { https: bool, authority: Range<usize> },
}

impl Form {
    /// Judges a target, visible ASCII, that is of another form than origin-form.
    pub(super) fn of(target: &[u8], method: &Method) -> Result<Self, &'static str> {
        if *method == Method::CONNECT {
            let port = target.last().is_some_and(u8::is_ascii_digit) && target.contains(&b':');
            return match host::is_valid(target) && port {
                true => Ok(Self::Authority),
                false => Err("the target of CONNECT is not a host and a port"),
            };
        }
        if target == b"*" {
            return match *method == Method::OPTIONS {
                true => Ok(Self::Asterisk),
                false => Err("the target * is of OPTIONS only"),
            };
        }
        absolute(target)
    }

    /// The authority that must equal Host, if the target has one.
    pub(super) fn authority<'a>(&self, target: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Origin | Self::Asterisk => None,
            Self::Authority => Some(target),
            Self::Absolute { authority, .. } => Some(&target[authority.clone()]),
        }
    }

    /// The target as a `Uri` that shares its bytes. `None` is not expected: what is refused was refused before.
    pub(super) fn uri(&self, target: Bytes, method: &Method) -> Option<Uri> {
        match self {
            Self::Origin => PathAndQuery::from_maybe_shared(target).ok().map(Uri::from),
            Self::Asterisk => Some(Uri::from_static("*")),
            Self::Authority => Authority::from_maybe_shared(target).ok().map(Uri::from),
            Self::Absolute { https, authority } => {
                let path = target.slice(authority.end..);
                let mut parts = http::uri::Parts::default();
                parts.scheme = Some(if *https { Scheme::HTTPS } else { Scheme::HTTP });
                parts.authority = Some(Authority::from_maybe_shared(target.slice(authority.clone())).ok()?);
                parts.path_and_query = Some(match path.is_empty() {
                    // RFC 9112 §3.2.4.
                    true if *method == Method::OPTIONS => PathAndQuery::from_static("*"),
                    true => PathAndQuery::from_static("/"),
                    false => PathAndQuery::from_maybe_shared(path).ok()?,
                });
                Uri::from_parts(parts).ok()
            }
        }
    }
}

/// Whether a target is in origin-form, a path and maybe a query, by whichever protocol it comes.
pub(crate) fn is_target(target: &str) -> bool {
    let target = target.as_bytes();
    let query = &target[path_length(target)..];
    target.starts_with(b"/") && (query.is_empty() || query[0] == b'?' && query_length(query) == query.len())
}

fn absolute(target: &[u8]) -> Result<Form, &'static str> {
    let has =
        |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme));
    let (https, begin) = if has(b"http://") {
        (false, b"http://".len())
    } else if has(b"https://") {
        (true, b"https://".len())
    } else {
        return Err("the target is neither a path nor an http or https URI");
    };
    let rest = &target[begin..];
    let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    if !host::is_valid(&rest[..length]) {
        return Err("the authority of the target is not a host");
    }
    let path = &rest[length..];
    let query = &path[path_length(path)..];
    let end = if let [b'?', query @ ..] = query { query.len() - query_length(query) } else { query.len() };
    if end != 0 {
        return Err("the target holds a byte that no URI has");
    }
    Ok(Form::Absolute { https, authority: begin..begin + length })
}
