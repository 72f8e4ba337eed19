use std::{future::poll_fn, pin::pin, rc::Rc, task::Poll};

use h2::Reason;
use http::{Method, Request, Response, request::Parts};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{judge::judge, outgoing::Outgoing, tasks::Tasks, watch::Watch};
use crate::{
    body::{Body, Progress},
    error::ProxyError,
    exchange::{Arrival, Exchange},
    respond::Reply,
};

/// Begins the exchange of a stream whose header has come. hyper starts the stream's task right after.
pub(super) fn begin(
    tasks: &Tasks,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<Outgoing>, h2::Error>> + use<> {
    let (head, incoming) = request.into_parts();
    let began = Instant::now();
    let progress = Progress::new(began, false);
    let body = Body::from_http2(incoming, &progress);
    let arrival = Arrival { began, progress: Rc::clone(&progress) };
    let exchange = Exchange::begin(tasks.context(), &head, arrival);
    let timeouts = exchange.scope().map(|scope| &scope.client().timeouts);
    let watch = Watch::new(began, timeouts, &progress);
    tasks.expect(&watch);
    serve(exchange, head, body, watch)
}

async fn serve(
    mut exchange: Exchange,
    head: Parts,
    body: Body,
    watch: Rc<Watch>,
) -> Result<Response<Outgoing>, h2::Error> {
    let is_head = head.method == Method::HEAD;
    let reply = match answer(&mut exchange, head, body, &watch).await {
        Ok(reply) => reply,
        // What is no request is a stream error, and so is an underscore where those are refused, as in Envoy.
        Err(error @ (ProxyError::Malformed(_) | ProxyError::Underscore)) => {
            exchange.note(&error);
            return Err(Reason::PROTOCOL_ERROR.into());
        }
        Err(ProxyError::ClientGone) => {
            exchange.note(&ProxyError::ClientGone);
            return Err(Reason::CANCEL.into());
        }
        Err(error) => exchange.fail(&error),
    };
    Ok(Outgoing::respond(exchange, reply, is_head, watch))
}

/// Runs the exchange until its time is up.
async fn answer(
    exchange: &mut Exchange,
    mut head: Parts,
    body: Body,
    watch: &Watch,
) -> Result<Reply, ProxyError> {
    judge(&mut head)?;
    let is_connect = head.method == Method::CONNECT;
    let mut answering = pin!(exchange.answer(head, body, None));
    let reply = poll_fn(|cx| match answering.as_mut().poll(cx) {
        Poll::Pending => watch.expired().map_or(Poll::Pending, |error| Poll::Ready(Err(error))),
        answered => answered,
    })
    .await?;
    // A tunnel that a rule of the user's lets through as far as to a backend, which cannot be told to open one.
    if is_connect && reply.head.status.is_success() {
        return Err(ProxyError::NoUpgrade);
    }
    Ok(reply)
}
