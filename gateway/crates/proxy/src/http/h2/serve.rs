use std::{
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use h2::Reason;
use hyper::{server::conn::http2::Builder, service::service_fn};
use hyper_util::rt::TokioIo;
use ir::{ClientSettings, ClientTimeouts, Quantity};
use tokio::time::Instant;

use super::{
    link::Link,
    service,
    tasks::{Spawner, Tasks},
};
use crate::{
    alarm::Alarm,
    connection::{ClientIo, ConnectionContext},
    http::h1::Pace,
};

/// How long a client gets to send the preface.
const PREFACE: Duration = Duration::from_secs(10);

/// How long a client that is told to go away gets to answer that, once it has no stream any more. Envoy's drain
/// timeout is the same.
const GOODBYE: Duration = Duration::from_secs(5);

/// Bytes of a header, 32 a field added (RFC 9113 §6.5.2). As in HTTP/1.
const HEADER_LIST: u32 = 60 << 10;

/// Streams that may be reset before they were looked at, and streams that may be malformed: more is a flood.
const UNSEEN_RESETS: usize = 20;
const LOCAL_RESETS: usize = 200;

/// The largest window (RFC 9113 §6.9.1).
const LARGEST_WINDOW: u64 = (1 << 31) - 1;

/// How a connection ended.
enum Ended {
    /// hyper has said what there was to say.
    Done,
    /// There is nobody to talk to.
    Failed,
    /// The client has kept the connection waiting for too long, and is told so.
    Late,
    /// It takes no more of what it was sent.
    Stuck,
}

/// Serves an HTTP/2 connection to its end. `buffered` are its first bytes, already read (the preface included).
pub(crate) async fn serve<IO: ClientIo>(io: IO, buffered: BytesMut, context: ConnectionContext) {
    let context = Rc::new(context);
    let link = Link::new(io, buffered);
    let ended = run(&link, &context).await;
    if let Some(flood) = link.flood() {
        tracing::debug!(client = %context.source.client(), %flood, "a client floods an HTTP/2 connection");
        return link.close(Some(Reason::ENHANCE_YOUR_CALM)).await;
    }
    match ended {
        Ended::Done => link.close(None).await,
        Ended::Late => link.close(Some(Reason::NO_ERROR)).await,
        Ended::Stuck => link.reset_on_close(),
        Ended::Failed => {}
    }
}

async fn run<IO: ClientIo>(link: &Link<IO>, context: &Rc<ConnectionContext>) -> Ended {
    let tasks = Tasks::new(context);
    let service = {
        let tasks = Rc::clone(&tasks);
        service_fn(move |request| service::begin(&tasks, request))
    };
    let builder = builder(context.scope().client(), &tasks);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(link.clone()), service));
    let mut drained = pin!(context.drained());
    let mut patience = Patience::new(link, &tasks, context);
    let mut leaving = false;
    poll_fn(|cx| {
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(if ended.is_ok() { Ended::Done } else { Ended::Failed });
            }
            let is_told = context.is_draining() || drained.as_mut().poll(cx).is_ready();
            if !leaving && (is_told || tasks.has_timed_out()) {
                leaving = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            match patience.poll(leaving, cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Waited::Idle) => {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
                Poll::Ready(Waited::Late) => return Poll::Ready(Ended::Late),
                Poll::Ready(Waited::Stuck) => return Poll::Ready(Ended::Stuck),
            }
        }
    })
    .await
}

fn builder(client: &ClientSettings, tasks: &Rc<Tasks>) -> Builder<Spawner> {
    let window = |size: Quantity| u32::try_from(size.bytes().min(LARGEST_WINDOW)).unwrap_or(u32::MAX >> 1);
    let mut builder = Builder::new(Spawner(Rc::clone(tasks)));
    builder
        .max_concurrent_streams(client.http2.max_concurrent_streams)
        .initial_stream_window_size(window(client.http2.initial_stream_window))
        .initial_connection_window_size(window(client.http2.initial_connection_window))
        .max_header_list_size(HEADER_LIST)
        .max_send_buf_size(client.connection.buffer_limit.max(1) as usize)
        .max_pending_accept_reset_streams(UNSEEN_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        // What the backend says passes, as in HTTP/1.
        .auto_date_header(false);
    builder
}

/// What a connection may wait for, and how long. While streams run, their own timers hold.
struct Patience<'a, IO> {
    link: &'a Link<IO>,
    tasks: &'a Tasks,
    context: &'a ConnectionContext,
    alarm: Alarm,
    began: Instant,
    quiet: Option<Quiet>,
}

/// The time since the last stream ended.
struct Quiet {
    since: Instant,
    timeouts: ClientTimeouts,
    /// What the client takes of responses that hyper holds yet, and when it last has.
    pace: Pace,
    data_sent: u64,
    moved: Instant,
}

/// What was waited for in vain.
#[derive(Clone, Copy)]
enum Waited {
    /// A request.
    Idle,
    /// The rest of the preface or of a header, or an answer to our goodbye.
    Late,
    /// The client to take what it was sent.
    Stuck,
}

impl<'a, IO: ClientIo> Patience<'a, IO> {
    fn new(link: &'a Link<IO>, tasks: &'a Tasks, context: &'a ConnectionContext) -> Self {
        Self { link, tasks, context, alarm: Alarm::default(), began: Instant::now(), quiet: None }
    }

    fn poll(&mut self, leaving: bool, cx: &mut Context<'_>) -> Poll<Waited> {
        let (deadline, waited) = match self.incomplete_by() {
            Some(deadline) => (Some(deadline), Waited::Late),
            None if !self.tasks.is_idle() => {
                self.quiet = None;
                return Poll::Pending;
            }
            None => self.quiet_until(leaving),
        };
        self.alarm.poll(cx, deadline).map(|()| waited)
    }

    /// When what has begun to come is to be complete.
    fn incomplete_by(&self) -> Option<Instant> {
        let ledger = self.link.ledger();
        if !ledger.has_begun() {
            return Some(self.began + PREFACE);
        }
        let since = ledger.incomplete_since()?;
        let scope = self.context.scope();
        let timeouts = &scope.client().timeouts;
        let limits = [timeouts.headers_received, timeouts.request_received, timeouts.stream_idle];
        limits.into_iter().flatten().min().map(|limit| since + limit)
    }

    /// How long a connection may be without streams.
    fn quiet_until(&mut self, leaving: bool) -> (Option<Instant>, Waited) {
        let ledger = self.link.ledger();
        let quiet = self.quiet.get_or_insert_with(|| {
            Quiet::new(self.context.scope().client().timeouts.clone(), ledger.data_sent())
        });
        if !ledger.is_settled() {
            quiet.observe(ledger.data_sent());
            let stuck = quiet.timeouts.stream_idle.map(|idle| quiet.moved + idle);
            return (stuck, Waited::Stuck);
        }
        let since = quiet.since.max(quiet.moved);
        if leaving {
            (Some(since + GOODBYE), Waited::Late)
        } else {
            (quiet.timeouts.idle.map(|idle| since + idle), Waited::Idle)
        }
    }
}

impl Quiet {
    fn new(timeouts: ClientTimeouts, data_sent: u64) -> Self {
        let now = Instant::now();
        Self { since: now, timeouts, pace: Pace::new(now), data_sent, moved: now }
    }

    fn observe(&mut self, data_sent: u64) {
        if data_sent > self.data_sent {
            let now = Instant::now();
            let bytes = usize::try_from(data_sent - self.data_sent).unwrap_or(usize::MAX);
            self.data_sent = data_sent;
            if self.pace.took(bytes, false, now) {
                self.moved = now;
            }
        }
    }
}
