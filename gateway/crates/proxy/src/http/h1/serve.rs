use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use bytes::BytesMut;
use http::{HeaderValue, Method, Request, header::UPGRADE, request::Parts};
use ir::ClientTimeouts;
use tokio::time::{Instant, timeout};

use super::{
    client::{Client, State},
    codec::{Framing, HeadLimits, RequestError, RequestHead, RequestParser},
    fill,
    reply::{self, Terms, Unsent},
    tunnel,
};
use crate::{
    alarm::{Alarm, earlier},
    body::{Body, Progress},
    connection::{ClientIo, ConnectionContext},
    error::ProxyError,
    exchange::{Arrival, Exchange},
    policy::strip_hop_by_hop,
    respond::Reply,
};

/// How long, and how much, is read from a client that is told to go away while it still sends: closing on bytes
/// that were not read resets the connection, and with it the answer (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;

/// What comes next on a connection.
enum Next {
    /// A request, and when its first byte came.
    Request(Box<RequestHead>, Instant),
    /// What is no request that is served.
    Refused(ProxyError, Instant),
    /// Nothing: the client has closed, idled too long, or is to be drained.
    Closed,
}

/// What becomes of a connection after a response.
enum Then {
    Next,
    /// The response is sent, and was the last.
    Close,
    /// There is nobody to talk to, or nothing that may be said.
    Drop,
    Reset,
}

/// Serves an HTTP/1 connection to its end. `buffered` are its first bytes, already read.
pub(crate) async fn serve<IO: ClientIo>(io: IO, buffered: BytesMut, context: ConnectionContext) {
    let context = Rc::new(context);
    let client = Client::new(io, buffered);
    let mut connection = Serving {
        context: &context,
        client: &client,
        parser: RequestParser::new(HeadLimits::default()),
        alarm: Alarm::default(),
    };
    let mut dismissed = pin!(context.dismissed());
    loop {
        let then = match connection.next(dismissed.as_mut()).await {
            // Boxed, so that a connection that waits is small.
            Next::Request(request, began) => Box::pin(connection.exchange(*request, began)).await,
            Next::Refused(error, began) => Box::pin(connection.refuse(error, began)).await,
            Next::Closed => Then::Close,
        };
        match then {
            Then::Next => {}
            Then::Close => return Box::pin(close(&client)).await,
            Then::Drop => return,
            Then::Reset => return client.state().io.reset_on_close(),
        }
    }
}

struct Serving<'a, IO> {
    context: &'a Rc<ConnectionContext>,
    client: &'a Rc<Client<IO>>,
    parser: RequestParser,
    alarm: Alarm,
}

impl<IO: ClientIo> Serving<'_, IO> {
    /// Waits for a request's header. An idle connection holds neither a buffer nor a snapshot.
    async fn next(&mut self, mut dismissed: Pin<&mut impl Future<Output = ()>>) -> Next {
        let Self { context, client, parser, alarm } = self;
        let timeouts = context.scope().client().timeouts.clone();
        let (mut began, mut waits_since) = (None, None);
        poll_fn(|cx| {
            loop {
                let State { io, read, .. } = &mut *client.state();
                if began.is_none() && !read.is_empty() && parser.has_begun(read) {
                    began = Some(Instant::now());
                }
                let since = |began: Option<Instant>| began.unwrap_or_else(Instant::now);
                match parser.parse(read) {
                    Ok(Some(request)) => return Poll::Ready(Next::Request(Box::new(request), since(began))),
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Next::Refused(refusal(error), since(began))),
                }
                match fill::poll_some(io, read, cx) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(Ok(0) | Err(_)) => {
                        let gone = |began| Next::Refused(ProxyError::ClientGone, began);
                        return Poll::Ready(began.map_or(Next::Closed, gone));
                    }
                    Poll::Pending => break,
                }
            }
            let Some(began) = began else {
                if dismissed.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Next::Closed);
                }
                let since = *waits_since.get_or_insert_with(Instant::now);
                return alarm.poll(cx, timeouts.idle.map(|idle| since + idle)).map(|()| Next::Closed);
            };
            let deadline = [timeouts.headers_received, timeouts.request_received, timeouts.stream_idle]
                .into_iter()
                .flatten()
                .min()
                .map(|limit| began + limit);
            alarm.poll(cx, deadline).map(|()| Next::Refused(ProxyError::RequestTimeout, began))
        })
        .await
    }

    /// Answers what is no request that is served, and ends the connection.
    async fn refuse(&mut self, error: ProxyError, began: Instant) -> Then {
        let head = unread();
        let arrival = Arrival { began, progress: Progress::new(began, true) };
        let mut exchange = Exchange::begin(self.context, &head, arrival);
        if error == ProxyError::ClientGone {
            exchange.note(&error);
            return Then::Drop;
        }
        let terms = self.terms(&exchange, &head, false);
        let reply = exchange.fail(&error);
        self.send(&mut exchange, reply, terms).await
    }

    async fn exchange(&mut self, request: RequestHead, began: Instant) -> Then {
        let RequestHead { mut head, body: framing, keep_alive, expects_continue, upgrade } = request;
        let has_body = !matches!(framing, Framing::Empty | Framing::Length(0));
        let progress = Progress::new(began, !has_body);
        let arrival = Arrival { began, progress: Rc::clone(&progress) };
        let mut exchange = Exchange::begin(self.context, &head, arrival);
        let terms = self.terms(&exchange, &head, keep_alive);
        let timeouts = self.context.scope().client().timeouts.clone();
        let upgrade = if upgrade && !has_body { websocket(&head) } else { None };
        strip_hop_by_hop(&mut head.headers);
        self.client.begin_body(framing, expects_continue, terms.buffer_limit);
        let body = if has_body {
            Body::from_http1(Rc::clone(self.client) as Rc<dyn super::RequestReader>, &progress)
        } else {
            Body::Empty
        };
        let answered = self.answer(&mut exchange, head, body, upgrade, &timeouts).await;
        match answered {
            Ok(Reply { head, tunnel: Some(tunnel), .. }) => {
                let idle = timeouts.stream_idle;
                tunnel::run(self.client, &mut exchange, head, *tunnel, idle, &mut self.alarm).await;
                Then::Drop
            }
            Ok(reply) => self.send(&mut exchange, reply, terms).await,
            Err(ProxyError::ClientGone) => {
                exchange.note(&ProxyError::ClientGone);
                Then::Drop
            }
            Err(error) => {
                let reply = exchange.fail(&error);
                self.send(&mut exchange, reply, terms).await
            }
        }
    }

    /// Runs the exchange under the client's timers, for as long as the client is there.
    async fn answer(
        &mut self,
        exchange: &mut Exchange,
        head: Parts,
        body: Body,
        upgrade: Option<HeaderValue>,
        timeouts: &ClientTimeouts,
    ) -> Result<Reply, ProxyError> {
        let Self { client, alarm, .. } = self;
        let progress = Rc::clone(exchange.progress());
        let began = progress.touched();
        let mut answering = pin!(exchange.answer(head, body, upgrade));
        poll_fn(|cx| {
            if let Poll::Ready(answered) = answering.as_mut().poll(cx) {
                return Poll::Ready(answered);
            }
            if client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(ProxyError::ClientGone));
            }
            let whole = timeouts.request_received.filter(|_| !progress.is_ended()).map(|limit| began + limit);
            let idle = timeouts.stream_idle.map(|limit| progress.touched() + limit);
            let gone = client.gone_by();
            alarm.poll(cx, earlier(earlier(whole, idle), gone)).map(|()| {
                Err(if gone.is_some_and(|gone| gone <= Instant::now()) {
                    ProxyError::ClientGone
                } else if whole.is_some_and(|whole| whole <= Instant::now()) {
                    ProxyError::RequestTimeout
                } else if progress.is_ended() {
                    ProxyError::ResponseIdle
                } else {
                    ProxyError::RequestIdle
                })
            })
        })
        .await
    }

    async fn send(&mut self, exchange: &mut Exchange, reply: Reply, terms: Terms) -> Then {
        let terms = Terms { keep_alive: terms.keep_alive && !self.context.is_draining(), ..terms };
        match reply::send(self.client, exchange, reply, terms, &mut self.alarm).await {
            Ok(true) => Then::Next,
            Ok(false) => Then::Close,
            Err(Unsent::Client) => Then::Drop,
            // Whatever the framing, the client must not take what it has for all there is.
            Err(Unsent::Idle | Unsent::Backend) => Then::Reset,
        }
    }

    fn terms(&self, exchange: &Exchange, head: &Parts, keep_alive: bool) -> Terms {
        let scope = exchange.scope();
        let client = scope.map(|scope| scope.client());
        Terms {
            version: head.version,
            is_head: head.method == Method::HEAD,
            keep_alive,
            idle: client.and_then(|client| client.timeouts.stream_idle),
            buffer_limit: client.map_or(0, |client| client.connection.buffer_limit as usize).max(1),
        }
    }
}

/// Says goodbye: what the client has on its way is read for a moment, so that it can read what we have sent.
async fn close<IO: ClientIo>(client: &Client<IO>) {
    let lingering = async {
        if poll_fn(|cx| Pin::new(&mut client.state().io).poll_shutdown(cx)).await.is_err() {
            return;
        }
        let mut total = 0;
        while total < LINGER_BYTES {
            match poll_fn(|cx| client.state().poll_discard(cx)).await {
                Ok(count @ 1..) => total += count,
                Ok(0) | Err(_) => return,
            }
        }
    };
    let _ = timeout(LINGER, lingering).await;
}

/// The head of a request whose own could not be read, for its log line.
fn unread() -> Parts {
    let mut head = Request::new(()).into_parts().0;
    if let Ok(dash) = Method::from_bytes(b"-") {
        head.method = dash;
    }
    head
}

/// What the client asks to switch to, if it is what is passed on: Envoy Gateway lets WebSocket through by default,
/// and h2c, for one, would be a way around every rule.
fn websocket(head: &Parts) -> Option<HeaderValue> {
    let upgrade = head.headers.get(UPGRADE)?;
    let is_websocket = upgrade.as_bytes().eq_ignore_ascii_case(b"websocket");
    (is_websocket && head.method == Method::GET).then(|| upgrade.clone())
}

fn refusal(error: RequestError) -> ProxyError {
    match error {
        RequestError::Malformed(reason) => ProxyError::Malformed(reason),
        error => ProxyError::Refused(error.status()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Socket;

    /// What an idle connection costs beside its descriptor: this future, its task and little else.
    #[test]
    fn a_connection_that_waits_is_small() {
        fn size<F>(_: impl Fn(Socket, BytesMut, ConnectionContext) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(serve::<Socket>) <= 1_024, "{}", size(serve::<Socket>));
    }
}
