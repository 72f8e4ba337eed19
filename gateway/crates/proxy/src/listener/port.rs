use std::{
    cell::{Cell, RefCell},
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    rc::Rc,
    time::Duration,
};

use ir::{Protocol, SocketKey};
use nix::{errno::Errno, libc};
use socket2::{SockAddr, SockRef};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::TcpStream,
    sync::Notify,
    time::sleep,
};

use crate::{
    cohort::Cohort,
    connection::{self, Known, Socket, admit, refuse, reset_on_close, turn_away},
    slots::Slot,
    sources::Source,
    worker::Worker,
};

/// How long accepting pauses when descriptors have run out, unless one of the worker's own is closed before.
const PAUSE: Duration = Duration::from_millis(20);

/// Connections accepted before other tasks get their turn.
const BATCH: usize = 16;

/// One worker's own listening socket of an address and port. The main thread holds a descriptor of the same
/// socket, so that closing this one resets nothing.
pub(crate) struct Port {
    key: SocketKey,
    socket: AsyncFd<OwnedFd>,
    cohort: RefCell<Rc<Cohort>>,
    ending: Cell<Option<Ending>>,
    told: Notify,
}

/// Why accepting ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Nobody listens there any more: what is queued is served yet.
    Closed,
    /// Another process accepts what is queued.
    Halted,
}

impl Port {
    /// Takes a listening, non-blocking socket.
    pub(crate) fn open(key: SocketKey, socket: OwnedFd, cohort: Rc<Cohort>) -> io::Result<Self> {
        // SAFETY: an OwnedFd always gives the same descriptor, and keeps it open as long as it lives; it lives in
        // the AsyncFd and is never swapped.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        Ok(Self { key, socket, cohort: RefCell::new(cohort), ending: Cell::new(None), told: Notify::new() })
    }

    /// Where it listens.
    pub(crate) fn key(&self) -> SocketKey {
        self.key
    }

    /// What its connections join.
    pub(crate) fn cohort(&self) -> Rc<Cohort> {
        Rc::clone(&self.cohort.borrow())
    }

    /// From now on its connections join this cohort.
    pub(crate) fn serve_as(&self, cohort: Rc<Cohort>) {
        self.cohort.replace(cohort);
    }

    /// Ends [`Port::accept`] once the queue is empty.
    pub(crate) fn close(&self) {
        self.ending.set(Some(Ending::Closed));
        self.told.notify_one();
    }

    /// Ends [`Port::accept`] at once: nothing is accepted after this call.
    pub(crate) fn halt(&self) {
        self.ending.set(Some(Ending::Halted));
        self.told.notify_one();
    }

    /// Accepts until told to close or to halt.
    pub(crate) async fn accept(&self, worker: &Rc<Worker>) {
        loop {
            if self.ending.get() == Some(Ending::Halted) {
                return;
            }
            if worker.carry.is_out_of_descriptors() {
                pause(worker).await;
                continue;
            }
            let ready = tokio::select! {
                biased;
                ready = self.socket.readable() => ready,
                () = self.told.notified() => {
                    if self.ending.get() == Some(Ending::Halted) {
                        return;
                    }
                    // Told to close: what is queued is still served, and only an empty queue ends it.
                    match self.accept_queued(worker) {
                        Queue::Empty => return,
                        Queue::More => tokio::task::yield_now().await,
                        Queue::Exhausted => pause(worker).await,
                    }
                    self.told.notify_one();
                    continue;
                }
            };
            let Ok(mut ready) = ready else { return };
            if self.ending.get() == Some(Ending::Halted) {
                return;
            }
            match self.accept_queued(worker) {
                Queue::Empty if self.ending.get().is_some() => return,
                Queue::Empty => ready.clear_ready(),
                Queue::More => {}
                Queue::Exhausted => pause(worker).await,
            }
        }
    }

    fn accept_queued(&self, worker: &Rc<Worker>) -> Queue {
        for _ in 0..BATCH {
            if worker.carry.is_out_of_descriptors() {
                return Queue::Exhausted;
            }
            match accept4(self.socket.get_ref()) {
                Ok((stream, peer)) => self.admit(worker, stream, peer),
                Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                    Errno::EAGAIN => return Queue::Empty,
                    Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => {
                        worker.carry.metrics.accept_paused();
                        return Queue::Exhausted;
                    }
                    // Errors of the connection that would have been accepted, as accept(2) lists them.
                    _ => tracing::debug!(key = %self.key, %error, "a queued connection has failed"),
                },
            }
        }
        Queue::More
    }

    /// Takes the slots of an accepted connection, then serves it in a task of its own; a refused
    /// one is turned away.
    fn admit(&self, worker: &Rc<Worker>, stream: OwnedFd, peer: SocketAddr) {
        let cohort = self.cohort();
        let scope = cohort.scope();
        let local = self.local_address(&stream);
        let source = Source { peer, local, proxied: None };
        let limit = Some(scope.snapshot().max_connections);
        let global = match Slot::take(&worker.carry.connections, limit, peer, local) {
            Ok(slot) => slot,
            Err(refusal) => {
                reset_on_close(&stream);
                drop(stream);
                return refuse(worker, &scope, &source, refusal);
            }
        };
        let stream = match TcpStream::from_std(stream.into()) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "cannot watch an accepted connection"),
        };
        let mut socket = Socket::new(stream, global, Rc::clone(worker));
        // Which of several TLS listeners it is for is known only with its ClientHello.
        let is_settled = scope.bind().protocol == Protocol::Http || scope.bind().listeners.len() == 1;
        let known = if scope.bind().client.proxy_protocol.is_some() { Known::Peer } else { Known::Both };
        if is_settled && let Err(refusal) = admit(worker, &mut socket, &scope, &source, known) {
            return turn_away(worker, &cohort, &scope, &source, refusal, socket);
        }
        tokio::task::spawn_local(connection::serve(Rc::clone(worker), cohort, socket, source));
    }

    fn local_address(&self, stream: &OwnedFd) -> SocketAddr {
        let bound = SocketAddr::new(self.key.address, self.key.port);
        if !self.key.address.is_unspecified() {
            return bound;
        }
        SockRef::from(stream).local_addr().ok().and_then(|address| address.as_socket()).unwrap_or(bound)
    }
}

/// What is left in a listening socket's queue.
enum Queue {
    Empty,
    More,
    /// Unknown: there is no descriptor to accept with.
    Exhausted,
}

/// Waits until it makes sense to look for a descriptor again.
async fn pause(worker: &Worker) {
    tokio::select! {
        () = worker.descriptor_is_closed() => {}
        () = sleep(PAUSE) => {}
    }
}

fn accept4(listener: &OwnedFd) -> io::Result<(OwnedFd, SocketAddr)> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the storage is as large as its length says, accept4 writes an address into it and its length,
    // and the length is only believed where the call succeeds.
    let (stream, address) = unsafe {
        SockAddr::try_init(|storage, len| {
            let fd = libc::accept4(listener.as_raw_fd(), storage.cast(), len, flags);
            // SAFETY: a descriptor that accept4 returned is nobody else's.
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
        })
    }?;
    match address.as_socket() {
        Some(address) => Ok((stream, address)),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}
