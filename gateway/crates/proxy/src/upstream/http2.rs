use std::{
    error::Error,
    rc::Rc,
    task::{Context, Poll, ready},
};

use h2::Reason;
use http::{
    Method, Uri, Version,
    header::{EXPECT, HOST},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::body::Incoming;

use super::{
    connect::Target,
    loan::{Lent, Loan, lend},
    multiplexed::Lease,
    pool::EndpointPool,
    send::{InFlight, Request},
    tls,
};
use crate::{
    body::{Body, BodyError, Polled},
    error::ProxyError,
    respond::Reply,
    snapshot::Upstream,
};

/// The body of a response, with what it keeps from ending too early: its connection, and what is left of the
/// request's.
pub(crate) struct Http2Response {
    incoming: Incoming,
    _loan: Loan,
    _lease: Lease,
    flight: Option<InFlight>,
}

impl Http2Response {
    /// The request is in flight as long as this.
    pub(crate) fn hold(&mut self, flight: InFlight) {
        self.flight = Some(flight);
    }

    /// Bytes that are still to come, if the header says.
    pub(crate) fn length(&self) -> Option<u64> {
        http_body::Body::size_hint(&self.incoming).exact()
    }

    /// The next piece.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        let next = ready!(http_body::Body::poll_frame(std::pin::Pin::new(&mut self.incoming), cx));
        Poll::Ready(next.map(|frame| frame.map_err(|_| BodyError::Reset)))
    }
}

/// Sends a request on a shared connection. What the backend has not looked at, as it says, is sent once more on
/// another (RFC 9113 §8.7).
pub(super) async fn http2(
    home: &Rc<EndpointPool>,
    upstream: &Upstream,
    target: Target<'_>,
    request: &mut Request,
) -> Result<Reply, ProxyError> {
    if request.upgrade.is_some() {
        return Err(ProxyError::NoUpgrade);
    }
    let scheme = if upstream.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let mut repeated = false;
    loop {
        let lease = home.multiplexed().lease(upstream, target).await?;
        let (lent, mut loan) = lend(std::mem::replace(&mut request.body, Body::Empty));
        let kept = (loan.is_empty() && !repeated).then(|| request.head.clone());
        let head = std::mem::replace(&mut request.head, http::Request::new(()).into_parts().0);
        let message = http::Request::from_parts(translate(head, &scheme)?, lent);
        let mut failed = match lease.sender().try_send_request(message).await {
            Ok(response) => {
                let (head, incoming) = response.into_parts();
                let body = if http_body::Body::is_end_stream(&incoming) {
                    Body::Empty
                } else {
                    Body::Http2(Http2Response { incoming, _loan: loan, _lease: lease, flight: None })
                };
                return Ok(Reply { head, body, tunnel: None });
            }
            Err(failed) => failed,
        };
        let unsent: Option<http::Request<Lent>> = failed.take_message();
        let (seen, error) = match (&unsent, loan.failed()) {
            (Some(_), _) => (Seen::NotByThisConnection, ProxyError::UpstreamClosed),
            (None, Some(error)) => (Seen::Maybe, ProxyError::of_request_body(&error)),
            (None, None) => judge(failed.error()),
        };
        request.head = match (unsent, kept) {
            (Some(message), _) => {
                request.body = loan.recall();
                message.into_parts().0
            }
            (None, Some(head)) => head,
            (None, None) => return Err(error),
        };
        match seen {
            _ if repeated => return Err(error),
            Seen::Maybe => return Err(error),
            Seen::NotThisTime => {}
            Seen::NotByThisConnection => lease.retire(home.multiplexed()),
        }
        repeated = true;
    }
}

/// A request's header in the form of HTTP/2: an absolute URI, and no field that is another connection's or that the
/// URI stands for (RFC 9113 §8.3.1).
fn translate(mut head: Parts, scheme: &Scheme) -> Result<Parts, ProxyError> {
    const NO_HOST: ProxyError = ProxyError::Malformed("the host is not an authority");
    let mut parts = head.uri.into_parts();
    let host = head.headers.remove(HOST);
    if parts.authority.is_none() {
        let host = host.ok_or(NO_HOST)?;
        parts.authority = Some(Authority::from_maybe_shared(host).map_err(|_| NO_HOST)?);
    }
    if head.method == Method::CONNECT {
        (parts.scheme, parts.path_and_query) = (None, None);
    } else {
        parts.scheme = Some(scheme.clone());
        parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    }
    head.uri = Uri::from_parts(parts).map_err(|_| NO_HOST)?;
    head.version = Version::HTTP_2;
    head.headers.remove(EXPECT);
    Ok(head)
}

/// Whether a backend has looked at a request that it did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Maybe,
    /// The stream was refused.
    NotThisTime,
    /// The connection ends.
    NotByThisConnection,
}

/// What a call that has failed comes to.
fn judge(error: &hyper::Error) -> (Seen, ProxyError) {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(error) = inner.downcast_ref::<h2::Error>() {
            if let Some(reason) = error.get_io().and_then(tls::failure) {
                return (Seen::Maybe, ProxyError::UpstreamTls(reason));
            }
            if error.is_library() {
                return (Seen::Maybe, ProxyError::UpstreamMalformed("it is not HTTP/2"));
            }
            let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
            let seen = match error.is_remote() {
                true if refused => Seen::NotThisTime,
                // Streams up to the last that a GOAWAY names go on; this one is above it.
                true if error.is_go_away() => Seen::NotByThisConnection,
                _ => Seen::Maybe,
            };
            return (seen, ProxyError::UpstreamClosed);
        }
        source = inner.source();
    }
    (Seen::Maybe, ProxyError::UpstreamClosed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_http_1_becomes_one_of_http_2() {
        let translated = |method: &str, uri: &str, host: Option<&str>| {
            let mut request =
                http::Request::builder().method(method).uri(uri).header("expect", "100-continue");
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            let head = translate(request.body(()).unwrap().into_parts().0, &Scheme::HTTP)?;
            assert!(head.headers.is_empty(), "{:?}", head.headers);
            Ok::<_, ProxyError>(head.uri.to_string())
        };
        for (method, uri, host, expected) in [
            ("GET", "/x?y", Some("a.test:80"), "http://a.test:80/x?y"),
            ("GET", "https://a.test/x", None, "http://a.test/x"),
            ("GET", "http://a.test/", Some("b.test"), "http://a.test/"),
            ("OPTIONS", "*", Some("a"), "http://a*"),
            ("CONNECT", "a.test:443", Some("a.test:443"), "a.test:443"),
        ] {
            assert_eq!(translated(method, uri, host).as_deref(), Ok(expected), "{method} {uri}");
        }
        assert!(translated("GET", "/", None).is_err() && translated("GET", "/", Some("a b")).is_err());
    }
}
