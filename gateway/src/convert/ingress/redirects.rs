use super::{
    super::{effects::Redirect, remarks::Remarks},
    settings::{Annotations, full},
};

/// Statuses that an HTTPRoute may redirect with.
const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];

/// `permanent-redirect` or `temporal-redirect`: every path of the Ingress goes to one place.
pub(super) fn of(nginx: &Annotations<'_, '_>, remarks: &mut Remarks) -> Option<Redirect> {
    let kinds = [
        ("temporal-redirect", "temporal-redirect-code", 302),
        ("permanent-redirect", "permanent-redirect-code", 301),
    ];
    for (name, code, default) in kinds {
        let (Some(url), Some(spot)) = (nginx.text(name), nginx.spot(name)) else { continue };
        let status = match (nginx.text(code).map(str::parse), nginx.spot(code)) {
            (Some(Ok(status)), _) if STATUSES.contains(&status) => status,
            (Some(_), Some(spot)) => {
                remarks.differs(
                    spot,
                    format!("an HTTPRoute redirects with one of {STATUSES:?}; {default} is taken"),
                );
                default
            }
            _ => default,
        };
        let redirect = redirect(url, status);
        if redirect.is_none() {
            remarks.lost(spot, format!("`{url}` is no place that an HTTPRoute could redirect to; left out"));
        }
        return redirect;
    }
    None
}

/// A redirect to a URL; one that ends in `$request_uri` keeps the path.
pub(in super::super) fn redirect(url: &str, status: u16) -> Option<Redirect> {
    let (url, kept) = match url.strip_suffix("$request_uri") {
        Some(url) => (url.strip_suffix('/').unwrap_or(url), true),
        None => (url, false),
    };
    if url.contains(['$', '{', '#']) {
        return None;
    }
    let (scheme, rest) = match url.split_once("://") {
        Some(("http", rest)) => (Some("http"), rest),
        Some(("https", rest)) => (Some("https"), rest),
        Some(_) => return None,
        None => (None, url),
    };
    let (authority, path) = match (scheme, rest.find('/')) {
        (None, Some(0)) => ("", rest),
        (None, _) => return None,
        (Some(_), Some(slash)) => rest.split_at(slash),
        (Some(_), None) => (rest, ""),
    };
    let (hostname, port) = match authority.rsplit_once(':') {
        Some((name, port)) => (name, Some(port.parse().ok()?)),
        None => (authority, None),
    };
    let hostname = (!hostname.is_empty()).then(|| hostname.to_ascii_lowercase());
    let path = match path {
        "" if kept => None,
        _ if kept => return None,
        path => Some(full(path)),
    };
    Some(Redirect { scheme, hostname, port, path, status })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::effects::PathChange;

    #[test]
    fn a_url_is_taken_apart() {
        let whole = |path: &str| Some(PathChange::Full(path.to_owned()));
        let found = redirect("https://New.example:8443/a?b=c", 301).expect("a redirect");
        assert_eq!(
            (found.scheme, found.hostname.as_deref(), found.port),
            (Some("https"), Some("new.example"), Some(8443))
        );
        assert_eq!(found.path, whole("/a?b=c"));
        assert_eq!(redirect("https://a.example", 301).expect("a redirect").path, whole("/"));
        assert_eq!(redirect("https://a.example$request_uri", 301).expect("a redirect").path, None);
        assert_eq!(redirect("/here", 302).expect("a redirect").path, whole("/here"));
        for bad in ["https://$host/a", "ftp://a.example/", "a.example/x", "https://a.example/x$request_uri"] {
            assert_eq!(redirect(bad, 301), None, "{bad}");
        }
    }
}
