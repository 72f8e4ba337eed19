use bytes::Bytes;
use http::{HeaderValue, Uri, uri::PathAndQuery};
use ir::{EscapedSlashes, PathSettings};

use super::request_phase::EarlyResponse;

/// Brings a path to its normal form (RFC 3986 §6.2.2.2 and §6.2.2.3), in Envoy's order: escaped slashes,
/// escapes of unreserved characters, `\` as `/`, dot segments, runs of slashes. The query stays as it is.
/// Stricter than Envoy where a path climbs above the root: 400.
pub(super) fn normalize(uri: &mut Uri, settings: &PathSettings) -> Result<(), EarlyResponse> {
    let path = uri.path().as_bytes();
    if !path.starts_with(b"/") || is_normal(path, settings.merge_slashes) {
        return Ok(());
    }
    let (decoded, had_escaped_slash) = decode(path, settings.escaped_slashes)?;
    let mut normal =
        resolve_dots(&decoded).ok_or(EarlyResponse::BadPath("the path climbs above the root"))?;
    if settings.merge_slashes {
        normal.dedup_by(|byte, before| *byte == b'/' && *before == b'/');
    }
    if normal == path {
        return Ok(());
    }
    if let Some(query) = uri.query() {
        normal.push(b'?');
        normal.extend_from_slice(query.as_bytes());
    }
    if had_escaped_slash && settings.escaped_slashes == EscapedSlashes::UnescapeAndRedirect {
        return Err(redirect(&normal));
    }
    replace(uri, normal).ok_or(NOT_A_PATH)
}

const NOT_A_PATH: EarlyResponse = EarlyResponse::BadPath("the normalised path is no path");

/// One look at each byte; most paths are found normal here and cost nothing more.
fn is_normal(path: &[u8], merge_slashes: bool) -> bool {
    let mut before = 0;
    path.iter().all(|&byte| {
        let normal = match byte {
            b'%' | b'\\' => false,
            b'/' => before != b'/' || !merge_slashes,
            b'.' => before != b'/',
            _ => true,
        };
        before = byte;
        normal
    })
}

/// Undoes escapes of unreserved characters, and of slashes as settings say; `\` becomes `/`. True: a slash was
/// unescaped. A `%` without two hexadecimal digits stays as it is, as in Envoy.
fn decode(path: &[u8], slashes: EscapedSlashes) -> Result<(Vec<u8>, bool), EarlyResponse> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut had_escaped_slash = false;
    // Where a `%` stands that is no escape. It must not become one by what is decoded after it, or the
    // backend, which decodes again, sees an escape that was never looked at.
    let mut stray_percent: Option<usize> = None;
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            decoded.push(if *byte == b'\\' { b'/' } else { *byte });
            continue;
        }
        let Some((value, after)) = escaped(tail) else {
            stray_percent = Some(decoded.len());
            decoded.push(b'%');
            continue;
        };
        let near_stray = stray_percent.is_some_and(|place| decoded.len() - place <= 2);
        match value {
            b'/' | b'\\' if slashes == EscapedSlashes::RejectRequest => {
                return Err(EarlyResponse::BadPath("the path has an escaped slash"));
            }
            b'/' | b'\\' if slashes != EscapedSlashes::KeepUnchanged => {
                had_escaped_slash = true;
                decoded.push(b'/');
                rest = after;
            }
            _ if is_unreserved(value) && !(near_stray && value.is_ascii_hexdigit()) => {
                decoded.push(value);
                rest = after;
            }
            _ => {
                decoded.push(b'%');
                decoded.extend_from_slice(&tail[..2]);
                rest = after;
            }
        }
    }
    Ok((decoded, had_escaped_slash))
}

/// What two hexadecimal digits at the start stand for, and the rest.
fn escaped(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = bytes else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?;
    Some((value, rest))
}

/// RFC 3986 §2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 §5.2.4, but `None` where `..` climbs above the root.
fn resolve_dots(path: &[u8]) -> Option<Vec<u8>> {
    let mut resolved = Vec::with_capacity(path.len());
    let mut ends_in_dots = false;
    for segment in path[1..].split(|byte| *byte == b'/') {
        ends_in_dots = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => {
                let parent = resolved.iter().rposition(|byte| *byte == b'/')?;
                resolved.truncate(parent);
            }
            _ => {
                resolved.push(b'/');
                resolved.extend_from_slice(segment);
            }
        }
    }
    if ends_in_dots {
        resolved.push(b'/');
    }
    Some(resolved)
}

/// A Location within this server: `//host` would name another one (RFC 3986 §4.2), `/.//host` does not.
fn redirect(target: &[u8]) -> EarlyResponse {
    let escape = if target.starts_with(b"//") { &b"/."[..] } else { b"" };
    match HeaderValue::from_bytes(&[escape, target].concat()) {
        Ok(location) => EarlyResponse::Redirect(location),
        Err(_) => NOT_A_PATH,
    }
}

fn replace(uri: &mut Uri, target: Vec<u8>) -> Option<()> {
    let target = PathAndQuery::from_maybe_shared(Bytes::from(target)).ok()?;
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(target);
    *uri = Uri::from_parts(parts).ok()?;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(merge_slashes: bool, escaped_slashes: EscapedSlashes) -> PathSettings {
        PathSettings { merge_slashes, escaped_slashes }
    }

    /// What becomes of a target: the new one, `400`, or `307 ` and the Location.
    fn outcome(target: &str, settings: &PathSettings) -> String {
        let mut uri: Uri = target.parse().unwrap();
        match normalize(&mut uri, settings) {
            Ok(()) => uri.to_string(),
            Err(EarlyResponse::Redirect(location)) => format!("307 {}", location.to_str().unwrap()),
            Err(EarlyResponse::BadPath(_)) => "400".to_owned(),
            Err(EarlyResponse::Underscore) => unreachable!("a path has no header names"),
        }
    }

    fn check(settings: &PathSettings, cases: &[(&str, &str)]) {
        for (target, expected) in cases {
            assert_eq!(outcome(target, settings), *expected, "{target} {settings:?}");
        }
    }

    /// RFC 3986 §6.2.2 and §5.2.4; Envoy: path normalisation and merging of slashes.
    #[test]
    fn dots_slashes_and_unreserved_escapes() {
        check(
            &PathSettings::default(),
            &[
                ("/", "/"),
                ("/a/b?x=/../%2e", "/a/b?x=/../%2e"),
                ("/a/../b", "/b"),
                ("/a/./b/.", "/a/b/"),
                ("/a/b/..", "/a/"),
                ("/a/..", "/"),
                ("/a/b/../..", "/"),
                ("/.well-known/x", "/.well-known/x"),
                ("/a/...", "/a/..."),
                ("/a/%2e%2E/b", "/b"),
                ("/%7Euser/%41%2D%5f", "/~user/A-_"),
                ("/a%20b%3fc%25", "/a%20b%3fc%25"),
                ("//a///b//", "/a/b/"),
                ("/a//../b", "/a/b"),
                ("/a\\..\\b", "/b"),
                ("/..", "400"),
                ("/a/../../b", "400"),
                ("/%2e%2e/a", "400"),
                ("*", "*"),
                ("http://host/a/../b?q", "http://host/b?q"),
            ],
        );
        check(
            &settings(false, EscapedSlashes::KeepUnchanged),
            &[("//a///b/./", "//a///b/"), ("/a//../b", "/a/b")],
        );
    }

    /// Envoy Gateway: `path.escapedSlashesAction`.
    #[test]
    fn escaped_slashes() {
        check(
            &settings(true, EscapedSlashes::KeepUnchanged),
            &[("/a%2Fb%5c/../c", "/c"), ("/a%2fb", "/a%2fb")],
        );
        check(
            &settings(true, EscapedSlashes::RejectRequest),
            &[("/a%2Fb", "400"), ("/a%5cb", "400"), ("/a", "/a")],
        );
        check(
            &settings(true, EscapedSlashes::UnescapeAndForward),
            &[
                ("/a%2Fb?c=%2F", "/a/b?c=%2F"),
                ("/a%5Cb", "/a/b"),
                ("/a%2F..%2F..%2Fb", "400"),
                ("/a%2F%2e%2E/b", "/b"),
                ("/a%252Fb", "/a%252Fb"),
            ],
        );
        check(
            &settings(true, EscapedSlashes::UnescapeAndRedirect),
            &[("/a%2Fb?c=%2F", "307 /a/b?c=%2F"), ("/a%5C..%2f/b", "307 /b"), ("/a/../b", "/b")],
        );
    }

    #[test]
    fn a_redirect_never_leaves_the_server() {
        let merged = PathSettings::default();
        check(&merged, &[("/%2Fevil.test", "307 /evil.test"), ("/%5cevil.test", "307 /evil.test")]);
        let kept = settings(false, EscapedSlashes::UnescapeAndRedirect);
        check(&kept, &[("/%2Fevil.test", "307 /.//evil.test"), ("/%5c%5Cevil.test", "307 /.///evil.test")]);
    }

    #[test]
    fn decoding_makes_no_new_escape() {
        check(
            &settings(true, EscapedSlashes::RejectRequest),
            &[
                ("/%%32F", "/%%32F"),
                ("/%2%46", "/%2%46"),
                ("/%2%35", "/%2%35"),
                ("/%zz%41", "/%zzA"),
                ("/100%", "/100%"),
            ],
        );
    }

    fn any_settings() -> impl Strategy<Value = PathSettings> {
        let actions = prop_oneof![
            Just(EscapedSlashes::KeepUnchanged),
            Just(EscapedSlashes::RejectRequest),
            Just(EscapedSlashes::UnescapeAndForward),
            Just(EscapedSlashes::UnescapeAndRedirect),
        ];
        (any::<bool>(), actions).prop_map(|(merge, action)| settings(merge, action))
    }

    proptest! {
        #[test]
        fn what_is_normal_stays_and_holds_nothing_that_is_not(
            path in "(/|//|\\.|\\.\\.|%|%2[eEfF5]|%5[cC]|%3[0-9]|[2aF]|\\\\|é){0,12}",
            query in "[a-z%/.?=]{0,8}",
            settings in any_settings(),
        ) {
            let target = format!("/{path}?{query}");
            let mut uri: Uri = target.parse().unwrap();
            if normalize(&mut uri, &settings).is_ok() {
                let normal = uri.path().to_owned();
                prop_assert_eq!(uri.query().unwrap(), &query);
                prop_assert!(normal.starts_with('/') && !normal.contains('\\'));
                prop_assert!(normal.split('/').all(|segment| segment != "." && segment != ".."), "{}", normal);
                prop_assert!(!settings.merge_slashes || !normal.contains("//"), "{}", normal);
                if settings.escaped_slashes != EscapedSlashes::KeepUnchanged {
                    let lower = normal.to_ascii_lowercase();
                    prop_assert!(!lower.contains("%2f") && !lower.contains("%5c"), "{}", normal);
                }
                let before = uri.clone();
                prop_assert!(normalize(&mut uri, &settings).is_ok(), "{}", normal);
                prop_assert_eq!(before, uri);
            }
        }
    }
}
