use http::{
    HeaderValue, Uri,
    header::HOST,
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use ir::PathRewrite;

use super::path::rewritten;
use crate::error::ProxyError;

/// What a backend is asked in the place of what the client has asked, compiled.
#[derive(Debug)]
pub(super) struct Rewrite {
    host: Option<(HeaderValue, Authority)>,
    path: Option<PathRewrite>,
}

const NO_TARGET: ProxyError = ProxyError::BadPath("the rewritten path fits no request line");

impl Rewrite {
    /// Compiles it. `translate` has seen to it that a hostname is one.
    pub(super) fn compile(rewrite: &ir::UrlRewrite) -> Self {
        let ir::UrlRewrite { hostname, path } = rewrite;
        let host = hostname.as_deref().and_then(|name| Some((name.parse().ok()?, name.parse().ok()?)));
        Self { host, path: path.clone() }
    }

    /// Rewrites a request's head: Host, authority and path; the query stays. The targets `*` and that of CONNECT
    /// have no path and keep what they have.
    pub(super) fn apply(&self, head: &mut Parts) -> Result<(), ProxyError> {
        if let Some((value, _)) = &self.host {
            head.headers.insert(HOST, value.clone());
        }
        let target = match &self.path {
            Some(path) if head.uri.path().starts_with('/') => {
                let target = PathAndQuery::from_maybe_shared(rewritten(path, &head.uri));
                Some(target.map_err(|_| NO_TARGET)?)
            }
            _ => None,
        };
        let authority = self.host.as_ref().map(|(_, authority)| authority);
        let authority = authority.filter(|_| head.uri.authority().is_some());
        if target.is_none() && authority.is_none() {
            return Ok(());
        }
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        if let Some(authority) = authority {
            parts.authority = Some(authority.clone());
        }
        parts.path_and_query = target.or(parts.path_and_query);
        if parts.authority.is_some() && parts.path_and_query.is_some() {
            parts.scheme.get_or_insert(Scheme::HTTP);
        }
        head.uri = Uri::from_parts(parts).map_err(|_| NO_TARGET)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ir::UrlRewrite;

    use super::*;

    /// The target and the Host that a backend sees.
    fn seen(rewrite: &UrlRewrite, method: &str, target: &str) -> (String, Option<String>) {
        let request = http::Request::builder().method(method).uri(target).header("host", "a.test:80");
        let mut head = request.body(()).unwrap().into_parts().0;
        Rewrite::compile(rewrite).apply(&mut head).unwrap();
        let host = head.headers.get(HOST).map(|host| host.to_str().unwrap().to_owned());
        (head.uri.to_string(), host)
    }

    fn both(host: Option<&str>, path: Option<PathRewrite>) -> UrlRewrite {
        UrlRewrite { hostname: host.map(Into::into), path }
    }

    #[test]
    fn host_and_authority_go_together() {
        let rewrite = both(Some("b.test"), None);
        for (method, target, expected) in [
            ("GET", "/a?b", "/a?b"),
            ("GET", "http://a.test:80/a?b", "http://b.test/a?b"),
            ("GET", "https://a.test/", "https://b.test/"),
            ("OPTIONS", "*", "*"),
        ] {
            assert_eq!(seen(&rewrite, method, target), (expected.to_owned(), Some("b.test".to_owned())));
        }
    }

    #[test]
    fn a_path_is_rewritten_and_the_host_stays() {
        let prefix = PathRewrite::Prefix { matched: "/a".into(), replacement: "/".into() };
        let rewrite = both(None, Some(prefix));
        for (method, target, expected) in [
            ("GET", "/a/b?c=/a", "/b?c=/a"),
            ("GET", "/a", "/"),
            ("GET", "http://a.test:80/a/b", "http://a.test:80/b"),
            ("OPTIONS", "*", "*"),
        ] {
            assert_eq!(seen(&rewrite, method, target), (expected.to_owned(), Some("a.test:80".to_owned())));
        }
    }

    #[test]
    fn a_target_that_grows_too_long_is_refused() {
        let long = PathRewrite::Prefix {
            matched: "/a".into(),
            replacement: format!("/{}", "x".repeat(1000)).into(),
        };
        let target = format!("/a/{}", "y".repeat(65_000));
        let mut head = http::Request::builder().uri(target).body(()).unwrap().into_parts().0;
        assert_eq!(Rewrite::compile(&both(None, Some(long))).apply(&mut head), Err(NO_TARGET));
    }
}
