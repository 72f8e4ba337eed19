use std::{future::poll_fn, rc::Rc, sync::Arc, time::Duration};

use ir::RouteTimeouts;
use tokio::{
    task::spawn_local,
    time::{Instant, timeout_at},
};

use crate::{
    body::tee,
    error::ProxyError,
    random,
    snapshot::{Builder, Upstream},
    upstream::{self, Request},
    worker::Worker,
};

/// How long a copy may take, answer included, where the rule has no timeout of its own.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where a share of a rule's requests is copied to.
pub(super) struct Mirror {
    upstream: Arc<Upstream>,
    numerator: u32,
    denominator: u32,
}

impl Mirror {
    /// Takes the upstream from the snapshot that is being built.
    pub(super) fn build(config: &ir::Mirror, builder: &mut Builder<'_>) -> Self {
        let ir::Mirror { upstream, numerator, denominator } = config;
        Self { upstream: builder.upstream(upstream), numerator: *numerator, denominator: *denominator }
    }

    fn is_drawn(&self) -> bool {
        let Self { numerator, denominator, .. } = *self;
        numerator >= denominator || random::below(u64::from(denominator)) < u64::from(numerator)
    }
}

/// Sends copies of a request to those mirrors that are drawn, each in a task of its own: what becomes of them
/// is counted, and neither slows nor fails the request. A request that asks to switch protocols has no copies.
pub(super) fn copy(mirrors: &[Mirror], worker: &Rc<Worker>, timeouts: &RouteTimeouts, request: &mut Request) {
    if request.upgrade.is_some() || request.head.method == http::Method::CONNECT {
        return;
    }
    let drawn: Vec<&Mirror> = mirrors.iter().filter(|mirror| mirror.is_drawn()).collect();
    if drawn.is_empty() {
        return;
    }
    for (mirror, (body, cut)) in drawn.iter().zip(tee(&mut request.body, drawn.len())) {
        let copy = Request { head: request.head.clone(), body, upgrade: None };
        let (worker, upstream) = (Rc::clone(worker), Arc::clone(&mirror.upstream));
        let timeouts = timeouts.clone();
        spawn_local(async move {
            let ended = tokio::select! {
                ended = send(&worker, &upstream, copy, &timeouts) => ended,
                () = cut.off() => Err(ProxyError::ClientGone),
            };
            count(&upstream, ended);
        });
    }
}

/// Sends a copy and reads its answer to the end, so that the connection can carry another one.
async fn send(
    worker: &Rc<Worker>,
    upstream: &Arc<Upstream>,
    copy: Request,
    timeouts: &RouteTimeouts,
) -> Result<(), ProxyError> {
    let deadline = Instant::now() + timeouts.request.unwrap_or(PATIENCE);
    let exchange = async {
        let mut reply = upstream::send(worker, upstream, copy, timeouts, None, None).await?;
        while let Some(piece) = poll_fn(|cx| reply.body.poll_next(cx)).await {
            piece.map_err(|_| ProxyError::UpstreamClosed)?;
        }
        Ok(())
    };
    timeout_at(deadline, exchange).await.unwrap_or(Err(ProxyError::UpstreamTimeout))
}

fn count(upstream: &Upstream, ended: Result<(), ProxyError>) {
    match ended {
        Ok(()) => upstream.metrics.mirrored(true),
        Err(error) => {
            tracing::debug!(upstream = %upstream.config.name, %error, "a mirrored request failed");
            upstream.metrics.failed(error.flag());
            upstream.metrics.mirrored(false);
        }
    }
}
