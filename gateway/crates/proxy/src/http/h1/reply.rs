use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, StatusCode, Version};
use tokio::time::Instant;

use super::{
    Pace,
    client::{Client, HALF_CLOSED},
    codec::{Connection, Framing, encode_response, last_chunk},
};
use crate::{
    alarm::{Alarm, earlier},
    body::Body,
    connection::ClientIo,
    exchange::Exchange,
    respond::Reply,
};

/// What a response to one request must keep to.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// The request's.
    pub(super) version: Version,
    /// The request was HEAD.
    pub(super) is_head: bool,
    /// Another request may follow, as far as the request and the connection go.
    pub(super) keep_alive: bool,
    /// `streamIdleTimeout`.
    pub(super) idle: Option<Duration>,
    /// Bytes that may wait for the client.
    pub(super) buffer_limit: usize,
}

/// Why a response is not sent whole. Its header may have been.
pub(super) enum Unsent {
    /// The client's connection has failed.
    Client,
    /// The client takes nothing, or the backend sends nothing, for too long.
    Idle,
    /// The backend's body does not come to its end.
    Backend,
}

/// Sends a response whole. Ready with whether another request may follow.
pub(super) async fn send<IO: ClientIo>(
    client: &Client<IO>,
    exchange: &mut Exchange,
    reply: Reply,
    terms: Terms,
    alarm: &mut Alarm,
) -> Result<bool, Unsent> {
    let Reply { head, body, tunnel: _ } = reply;
    let framing = framing(head.status, &body, terms);
    let keep_alive = terms.keep_alive && framing != Framing::UntilClose && client.body_is_ended();
    let connection = if keep_alive { Connection::KeepAlive } else { Connection::Close };
    {
        let mut state = client.state();
        state.forget_to_ask();
        encode_response(&head, framing, connection, terms.version, state.outbox.buffer());
    }
    let body = if framing == Framing::Empty { Body::Empty } else { body };
    exchange.replied(head.status, body.length());
    drop(head);
    let now = Instant::now();
    exchange.progress().touch(now);
    let mut sending =
        Sending { client, body: Some(body), trailers: None, framing, terms, pace: Pace::new(now) };
    poll_fn(|cx| sending.poll(exchange, alarm, cx)).await?;
    exchange.complete();
    Ok(keep_alive)
}

/// How the end of a body is found by the client (RFC 9112 §6.3).
fn framing(status: StatusCode, body: &Body, terms: Terms) -> Framing {
    let has_none = terms.is_head
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    match body.length() {
        _ if has_none => Framing::Empty,
        Some(length) => Framing::Length(length),
        None if terms.version == Version::HTTP_11 => Framing::Chunked,
        None => Framing::UntilClose,
    }
}

struct Sending<'a, IO> {
    client: &'a Client<IO>,
    /// What is left of the body.
    body: Option<Body>,
    trailers: Option<HeaderMap>,
    framing: Framing,
    terms: Terms,
    pace: Pace,
}

impl<IO: ClientIo> Sending<'_, IO> {
    fn poll(
        &mut self,
        exchange: &mut Exchange,
        alarm: &mut Alarm,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Unsent>> {
        loop {
            let waiting = match self.take_from_body(exchange, cx) {
                Ok(waiting) => waiting,
                Err(unsent) => {
                    // What came before the fault is the client's all the same.
                    let _ = self.client.state().poll_flush(&mut 0, cx);
                    return Poll::Ready(Err(unsent));
                }
            };
            match self.poll_flush(exchange, cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Unsent::Client)),
                Poll::Ready(Ok(())) if self.body.is_none() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) if waiting => {
                    if self.client.poll_gone(cx).is_ready() {
                        return Poll::Ready(Err(Unsent::Client));
                    }
                }
                Poll::Ready(Ok(())) => continue,
                Poll::Pending => {
                    if let Some(body) = &mut self.body {
                        body.poll_beside(cx);
                    }
                }
            }
            let idle = self.terms.idle.map(|idle| exchange.progress().touched() + idle);
            // A client that is there takes what is sent: waiting for more, it is given up like one that is gone.
            let gone =
                self.client.gone_by().map(|gone| gone.max(exchange.progress().touched() + HALF_CLOSED));
            return alarm.poll(cx, earlier(idle, gone)).map(|()| Err(Unsent::Idle));
        }
    }

    /// Moves what the body has ready to the connection's outbox. True: the body has no more at the moment.
    fn take_from_body(&mut self, exchange: &mut Exchange, cx: &mut Context<'_>) -> Result<bool, Unsent> {
        while let Some(body) = &mut self.body
            && self.client.state().outbox.has_room(self.terms.buffer_limit)
        {
            match body.poll_next(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(Some(Err(error))) => {
                    exchange.broke_off(&error);
                    return Err(Unsent::Backend);
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        exchange.sent(data.len());
                        self.client.state().outbox.push(self.framing, data);
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Poll::Ready(None) => {
                    if self.framing == Framing::Chunked {
                        last_chunk(self.trailers.as_ref(), self.client.state().outbox.buffer());
                    }
                    self.body = None;
                }
            }
        }
        Ok(false)
    }

    fn poll_flush(&mut self, exchange: &Exchange, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut written = 0;
        let flushed = self.client.state().poll_flush(&mut written, cx);
        if written > 0 && self.body.is_some() {
            let now = Instant::now();
            if self.pace.took(written, flushed.is_ready(), now) {
                exchange.progress().touch(now);
            }
        }
        flushed
    }
}
