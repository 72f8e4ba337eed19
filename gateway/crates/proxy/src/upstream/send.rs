use std::{
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use http::{HeaderValue, request::Parts};
use ir::{Endpoint, EndpointAddress, RouteTimeouts, UpstreamProtocol};
use tokio::time::{Instant, timeout_at};

use super::{
    connect::{Target, connect},
    http1::{Call, CallError, Connection, Outcome},
    http2::http2,
};
use crate::{
    access_log::Upstreamed, body::Body, carry::UpstreamState, error::ProxyError, respond::Reply,
    snapshot::Upstream, worker::Worker,
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
/// tried where one cannot be connected to. Ends with the response's header, within the route's timeouts.
pub(crate) async fn send(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    request: Request,
    timeouts: &RouteTimeouts,
    attempted: Option<&mut Option<Upstreamed>>,
) -> Result<Reply, ProxyError> {
    let flight = InFlight::take(upstream)?;
    let attempts = Attempts { worker, upstream, timeouts, attempted };
    let mut reply = match timeouts.request {
        None => attempts.run(request).await,
        Some(limit) => timeout_at(Instant::now() + limit, attempts.run(request))
            .await
            .unwrap_or(Err(ProxyError::UpstreamTimeout)),
    }?;
    reply.body.hold(flight);
    Ok(reply)
}

struct Attempts<'a> {
    worker: &'a Rc<Worker>,
    upstream: &'a Arc<Upstream>,
    timeouts: &'a RouteTimeouts,
    attempted: Option<&'a mut Option<Upstreamed>>,
}

impl Attempts<'_> {
    async fn run(mut self, mut request: Request) -> Result<Reply, ProxyError> {
        let upstream = self.upstream;
        let endpoints = &upstream.config.endpoints;
        let start = match endpoints.len() {
            0 => return Err(ProxyError::NoEndpoint),
            1 => 0,
            _ => upstream.state.cursor.fetch_add(1, Ordering::Relaxed),
        };
        let mut failed = ProxyError::Connect;
        for turn in 0..endpoints.len() {
            let endpoint = &endpoints[start.wrapping_add(turn) % endpoints.len()];
            match self.endpoint(endpoint, start, &mut request).await {
                Err(error) if error.is_retryable() => failed = error,
                ended => return ended,
            }
        }
        Err(failed)
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
                        Err(error) if error.is_retryable() => failed = error,
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
            **attempted = Some(Upstreamed { endpoint: endpoint.address.clone(), address, duration: None });
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
