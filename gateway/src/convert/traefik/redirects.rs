use super::super::effects::Redirect;

/// Status of a permanent redirect, and of another one. Traefik answers GET with 301 and 302, which browsers follow likewise.
pub(super) const fn status(permanent: bool) -> u16 {
    if permanent { 308 } else { 307 }
}

/// What `redirectRegex` says of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostRedirect {
    /// It redirects requests of this scheme only.
    pub(super) from_scheme: Option<&'static str>,
    /// It redirects requests of this host only.
    pub(super) from_host: Option<String>,
    pub(super) to: Redirect,
}

/// Reads an expression of a scheme and a host, with the path behind them kept: `^http://(.*)` to `https://${1}`,
/// `^https?://www\.a\.example/(.*)` to `https://a.example/${1}`. `None`: it is none of those.
pub(super) fn read(expression: &str, replacement: &str, permanent: bool) -> Option<HostRedirect> {
    let rest = expression.strip_prefix('^')?;
    let rest = rest.strip_suffix('$').unwrap_or(rest);
    let schemes = [("http://", Some("http")), ("https://", Some("https")), ("https?://", None)];
    let (rest, from_scheme) =
        schemes.iter().find_map(|(begin, scheme)| Some((rest.strip_prefix(begin)?, *scheme)))?;
    let replacement = replacement.replace("${1}", "$1");
    let targets = [("http://", "http"), ("https://", "https")];
    let (target, scheme) =
        targets.iter().find_map(|(begin, scheme)| Some((replacement.strip_prefix(begin)?, *scheme)))?;
    let mut to =
        Redirect { scheme: Some(scheme), hostname: None, port: None, path: None, status: status(permanent) };
    if rest == "(.*)" && target == "$1" {
        return Some(HostRedirect { from_scheme, from_host: None, to });
    }
    let (host, tail) = rest.split_at(rest.find('/')?);
    let target = match tail {
        "/(.*)" => target.strip_suffix("/$1")?,
        _ => return None,
    };
    let from_host = host.replace("\\.", ".");
    let (name, port) = match target.split_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (target, None),
    };
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
    };
    if !plain(&from_host) || !plain(name) {
        return None;
    }
    to.hostname = Some(name.to_ascii_lowercase());
    to.port = port;
    Some(HostRedirect { from_scheme, from_host: Some(from_host.to_ascii_lowercase()), to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_and_a_host_are_read() {
        let to_https = read("^http://(.*)", "https://${1}", true).expect("a scheme");
        assert_eq!((to_https.from_scheme, to_https.from_host), (Some("http"), None));
        let www = read(r"^https?://www\.a\.example/(.*)", "https://a.example/${1}", false).expect("a host");
        assert_eq!((www.from_scheme, www.from_host.as_deref()), (None, Some("www.a.example")));
        assert_eq!((www.to.hostname.as_deref(), www.to.status), (Some("a.example"), 307));
        for (expression, replacement) in [
            ("http://(.*)", "https://$1"),
            ("^https://[^/]+/(.*)", "https://a.example/$1"),
            ("^https://a.example/x/(.*)", "https://a.example/$1"),
            ("^http://(.*)", "https://a.example/$1"),
        ] {
            assert_eq!(read(expression, replacement, true), None, "{expression}");
        }
    }
}
