use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    client::conn::http2::{Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tokio::{sync::Mutex, task::spawn_local, time::Instant};

use super::{
    connect::{Place, Target, UpstreamIo, connect},
    loan::Lent,
};
use crate::{error::ProxyError, snapshot::Upstream};

/// Receive windows of a stream and of a connection: Envoy Gateway's for backends.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes of a response's header, 32 a field added, as for requests.
const HEADER_LIST: u32 = 60 << 10;

/// Bytes of a request's body that may wait in a stream.
const SEND_BUFFER: usize = 32 << 10;

/// The HTTP/2 connections to one endpoint of one upstream, each of which many requests share. One is enough, unless the
/// backend allows fewer streams than there are requests.
#[derive(Default)]
pub(super) struct Multiplexed {
    connections: RefCell<Vec<Rc<Connection>>>,
    /// Held by who opens a connection: the others wait, and use it too.
    connecting: Mutex<()>,
    /// When a connection could last not be opened, and why.
    failed: RefCell<Option<(Instant, ProxyError)>>,
}

struct Connection {
    sender: SendRequest<Lent>,
    streams: Cell<usize>,
    /// Streams that the backend allows.
    room: Rc<Cell<usize>>,
    /// When its last stream ended.
    idle_since: Cell<Instant>,
}

/// A stream's share of a connection.
pub(super) struct Lease(Rc<Connection>);

impl Multiplexed {
    /// A share of a connection that has room for another stream, which is opened if there is none.
    pub(super) async fn lease(&self, upstream: &Upstream, target: Target<'_>) -> Result<Lease, ProxyError> {
        if let Some(lease) = self.with_room() {
            return Ok(lease);
        }
        let asked = Instant::now();
        let _turn = self.connecting.lock().await;
        if let Some(lease) = self.with_room() {
            return Ok(lease);
        }
        if let Some((_, error)) = self.failed.borrow().as_ref().filter(|(failed, _)| *failed >= asked) {
            return Err(error.clone());
        }
        match connect(upstream, target).await {
            Ok((io, place)) => self.open(io, place).await,
            // What cannot have a connection of its own waits for its turn on another.
            Err(ProxyError::Overflow) => self.least_used().ok_or(ProxyError::Overflow),
            Err(error) => {
                *self.failed.borrow_mut() = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn open(&self, io: UpstreamIo, place: Place) -> Result<Lease, ProxyError> {
        let mut builder = Builder::new(Spawner(Rc::new(place)));
        builder
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST)
            .max_send_buf_size(SEND_BUFFER);
        let opened = builder.handshake(TokioIo::new(io)).await;
        let (sender, mut driver) = opened.map_err(|_| ProxyError::UpstreamClosed)?;
        let room = Rc::new(Cell::new(driver.current_max_send_streams()));
        let observed = Rc::clone(&room);
        spawn_local(std::future::poll_fn(move |cx| {
            let ended = Pin::new(&mut driver).poll(cx);
            observed.set(driver.current_max_send_streams());
            ended.map(|ended| {
                if let Err(error) = ended {
                    tracing::debug!(%error, "an HTTP/2 connection to a backend has failed");
                }
            })
        }));
        let connection = Rc::new(Connection {
            sender,
            streams: Cell::new(0),
            room,
            idle_since: Cell::new(Instant::now()),
        });
        self.connections.borrow_mut().push(Rc::clone(&connection));
        Ok(Lease::take(&connection))
    }

    fn with_room(&self) -> Option<Lease> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.sender.is_closed());
        connections
            .iter()
            .find(|connection| connection.streams.get() < connection.room.get())
            .map(Lease::take)
    }

    fn least_used(&self) -> Option<Lease> {
        let connections = self.connections.borrow();
        connections.iter().min_by_key(|connection| connection.streams.get()).map(Lease::take)
    }

    /// Lets go of what is closed and of what has waited for too long for a request; streams that are open end first.
    /// True: some are left.
    pub(super) fn sweep(&self, now: Instant, idle_timeout: Option<Duration>) -> bool {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| {
            let waited = now.duration_since(connection.idle_since.get());
            let is_idle = connection.streams.get() == 0 && idle_timeout.is_some_and(|limit| waited >= limit);
            !connection.sender.is_closed() && !is_idle
        });
        !connections.is_empty()
    }

    /// Lets go of every connection.
    pub(super) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }
}

impl Lease {
    fn take(connection: &Rc<Connection>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self(Rc::clone(connection))
    }

    /// The way to the connection.
    pub(super) fn sender(&self) -> SendRequest<Lent> {
        self.0.sender.clone()
    }

    /// No other request gets to this connection.
    pub(super) fn retire(&self, home: &Multiplexed) {
        home.connections.borrow_mut().retain(|connection| !Rc::ptr_eq(connection, &self.0));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let left = self.0.streams.get() - 1;
        self.0.streams.set(left);
        if left == 0 {
            self.0.idle_since.set(Instant::now());
        }
    }
}

/// How hyper starts the tasks of a connection. The place is taken until the last of them has ended.
#[derive(Clone)]
struct Spawner(Rc<Place>);

impl<F> Executor<F> for Spawner
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        spawn_local(Placed { future, _place: Rc::clone(&self.0) });
    }
}

pin_project! {
    struct Placed<F> {
        #[pin]
        future: F,
        _place: Rc<Place>,
    }
}

impl<F: Future<Output = ()>> Future for Placed<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().future.poll(cx)
    }
}
