use std::{
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use http::{HeaderValue, request::Parts};
use ir::{Endpoint, EndpointAddress, Retry, RouteTimeouts, UpstreamProtocol};
use tokio::time::{Instant, timeout_at};

use super::{
    connect::{Target, connect},
    http1::{Call, CallError, Connection, Outcome},
    http2::http2,
    retry::retried,
};
use crate::{
    access_log::Upstreamed,
    body::Body,
    carry::UpstreamState,
    error::{Again, ProxyError},
    respond::Reply,
    snapshot::Upstream,
    worker::Worker,
};

/// What goes to a backend.
pub(crate) struct Request {
    /// Without fields of another connection.
    pub(crate) head: Parts,
    /// What follows.
    pub(crate) body: Body,
    /// The protocols that the client asks to switch to.
    pub(crate) upgrade: Option<HeaderValue>,
}

/// A place among the requests in flight of an upstream.
pub(crate) struct InFlight(Arc<UpstreamState>);

impl InFlight {
    fn take(upstream: &Upstream) -> Result<Self, ProxyError> {
        let flight = Self(Arc::clone(&upstream.state));
        let before = upstream.state.requests.fetch_add(1, Ordering::Relaxed);
        if before < u64::from(upstream.config.settings.max_requests) {
            Ok(flight)
        } else {
            Err(ProxyError::Overflow)
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends a request to one of an upstream's endpoints, starting with the one whose turn it is; the next one is
/// tried where one cannot be connected to, and whatever `retry` says. Ends with the response's header, within the
/// rule's timeouts.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    mut request: Request,
    timeouts: &RouteTimeouts,
    retry: Option<&Retry>,
    attempted: Option<&mut Option<Upstreamed>>,
) -> Result<Reply, ProxyError> {
    let flight = InFlight::take(upstream)?;
    let next = match upstream.config.endpoints.len() {
        0 => return Err(ProxyError::NoEndpoint),
        1 => 0,
        _ => upstream.state.cursor.fetch_add(1, Ordering::Relaxed),
    };
    let mut attempts = Attempts { worker, upstream, timeouts, attempted, next };
    let sent = async {
        match retry {
            None => attempts.run(&mut request).await,
            // Boxed, so that requests without it carry none of it.
            Some(retry) => Box::pin(retried(attempts, retry, request)).await,
        }
    };
    let mut reply = match timeouts.request {
        None => sent.await,
        Some(limit) => {
            timeout_at(Instant::now() + limit, sent).await.unwrap_or(Err(ProxyError::UpstreamTimeout))
        }
    }?;
    reply.body.hold(flight);
    Ok(reply)
}

/// The attempts of one request.
pub(super) struct Attempts<'a> {
    worker: &'a Rc<Worker>,
    pub(super) upstream: &'a Arc<Upstream>,
    timeouts: &'a RouteTimeouts,
    attempted: Option<&'a mut Option<Upstreamed>>,
    /// The endpoint whose turn it is.
    next: usize,
}

impl Attempts<'_> {
    /// Every endpoint, until one can be connected to.
    pub(super) async fn run(&mut self, request: &mut Request) -> Result<Reply, ProxyError> {
        let upstream = self.upstream;
        let endpoints = &upstream.config.endpoints;
        let mut failed = ProxyError::Connect;
        for _ in 0..endpoints.len() {
            let turn = self.next;
            self.next = turn.wrapping_add(1);
            match self.endpoint(&endpoints[turn % endpoints.len()], turn, request).await {
                Err(error) if error.again() == Again::Any => failed = error,
                ended => return ended,
            }
        }
        Err(failed)
    }

    /// Notes that another attempt was wanted, and not allowed any more.
    pub(super) fn exhausted(&mut self) {
        if let Some(Some(attempted)) = self.attempted.as_deref_mut() {
            attempted.exhausted = true;
        }
    }

    /// Every address of an endpoint, until one can be connected to.
    async fn endpoint(
        &mut self,
        endpoint: &Endpoint,
        start: usize,
        request: &mut Request,
    ) -> Result<Reply, ProxyError> {
        match &endpoint.address {
            EndpointAddress::Ip(address) => self.target(endpoint, Target::Address(*address), request).await,
            EndpointAddress::Unix(path) => self.target(endpoint, Target::Path(path), request).await,
            EndpointAddress::Dns { host, port } => {
                let addresses = match self.worker.pools.resolver().resolve(host).await {
                    Ok(addresses) => addresses,
                    Err(error) => {
                        tracing::warn!(%host, %error, "cannot resolve a backend's name");
                        return Err(ProxyError::Connect);
                    }
                };
                let mut failed = ProxyError::Connect;
                for turn in 0..addresses.len() {
                    let ip = addresses[start.wrapping_add(turn) % addresses.len()];
                    let target = Target::Address(SocketAddr::new(ip, *port));
                    match self.target(endpoint, target, request).await {
                        Err(error) if error.again() == Again::Any => failed = error,
                        ended => return ended,
                    }
                }
                Err(failed)
            }
        }
    }

    /// One attempt, within the time that the route gives to one.
    async fn target(
        &mut self,
        endpoint: &Endpoint,
        target: Target<'_>,
        request: &mut Request,
    ) -> Result<Reply, ProxyError> {
        let started = Instant::now();
        let address = match target {
            Target::Address(address) => Some(address),
            Target::Path(_) => None,
        };
        if let Some(attempted) = &mut self.attempted {
            let before = attempted.as_ref().map_or(0, |before| before.attempts);
            **attempted = Some(Upstreamed {
                endpoint: endpoint.address.clone(),
                address,
                duration: None,
                attempts: before + 1,
                exhausted: false,
            });
        }
        self.upstream.metrics.requested();
        let deadline = self.timeouts.backend_request.map(|limit| started + limit);
        let attempt = async {
            match self.upstream.config.protocol {
                UpstreamProtocol::Http1 => http1(self.worker, self.upstream, target, request).await,
                UpstreamProtocol::H2c => {
                    let home = self.worker.pools.endpoint(self.upstream, target);
                    http2(&home, self.upstream, target, request).await
                }
            }
        };
        let ended = match deadline {
            None => attempt.await,
            Some(deadline) => timeout_at(deadline, attempt).await.unwrap_or(Err(ProxyError::UpstreamTimeout)),
        };
        if let (Ok(_), Some(Some(attempted))) = (&ended, self.attempted.as_deref_mut()) {
            attempted.duration = Some(started.elapsed());
        }
        ended
    }
}

/// A connection that waited may have been closed by the backend in the moment in which it is used: where no byte
/// of an answer has come and the request may be sent twice (RFC 9110 §9.2.2), another connection is used.
async fn http1(
    worker: &Worker,
    upstream: &Upstream,
    target: Target<'_>,
    request: &mut Request,
) -> Result<Reply, ProxyError> {
    let home = worker.pools.endpoint(upstream, target);
    loop {
        let (connection, reused) = match home.take() {
            Some(connection) => (connection, true),
            None => {
                let (io, place) = connect(upstream, target).await?;
                (Connection::new(io, place), false)
            }
        };
        let may_repeat = reused && request.body.is_empty() && request.head.method.is_idempotent();
        let body = std::mem::replace(&mut request.body, Body::Empty);
        let mut call = Call::begin(connection, &mut request.head, body, request.upgrade.as_ref());
        match poll_fn(|cx| call.poll_head(cx)).await {
            Err(CallError::Closed) if may_repeat => {}
            Err(error) => return Err(error.into()),
            Ok(head) => {
                return match call.finish(head, &home) {
                    Outcome::Response(head, body) => Ok(Reply { head, body, tunnel: None }),
                    Outcome::Tunnel(head, tunnel) if request.upgrade.is_some() => {
                        Ok(Reply { head, body: Body::Empty, tunnel: Some(tunnel) })
                    }
                    Outcome::Tunnel(..) => {
                        Err(ProxyError::UpstreamMalformed("it switches protocols unasked"))
                    }
                };
            }
        }
    }
}
