mod establish;
mod preface;
mod socket;

use std::rc::Rc;

use crate::{
    cohort::Cohort,
    http::{h1, h2},
    refusal::Refusal,
    snapshot::Scope,
    sources::Source,
    worker::Worker,
};
pub(crate) use establish::take_slot;
use establish::{Established, Ready};
pub(crate) use socket::{ClientIo, Socket, reset_on_close};

/// What a protocol driver knows of the connection that it is given. Slots and metrics of the connection hang
/// on its IO: dropping the IO closes the descriptor, then frees the slot.
pub(crate) struct ConnectionContext {
    /// Pools, log and carried state of the thread.
    pub(crate) worker: Rc<Worker>,
    /// Who is calling.
    pub(crate) source: Source,
    /// Present if the connection came in TLS.
    pub(crate) tls: Option<TlsInfo>,
    cohort: Rc<Cohort>,
}

/// What the handshake settled.
#[derive(Clone, Debug)]
pub(crate) struct TlsInfo {
    /// Server name, lower case; `None`: the client sent none.
    pub(crate) sni: Option<Box<str>>,
    /// The ALPN name that was agreed on.
    pub(crate) alpn: Option<Box<[u8]>>,
    /// The version that was agreed on.
    pub(crate) version: Option<rustls::ProtocolVersion>,
}

impl ConnectionContext {
    /// The newest snapshot that serves this connection. Take it at each request's start (and for the timers
    /// before it), keep it to the request's end, drop it while the connection is idle or a tunnel.
    pub(crate) fn scope(&self) -> Scope {
        self.cohort.scope()
    }

    /// True: finish the request at hand with `Connection: close` or GOAWAY, then close.
    pub(crate) fn is_draining(&self) -> bool {
        self.cohort.is_draining()
    }

    /// Resolves once the connection is to drain, at once if it is. Make it once per connection and poll it
    /// while idle; it never resolves twice.
    pub(crate) async fn drained(&self) {
        self.cohort.drained().await;
    }
}

/// Serves an accepted connection to its end. `cohort` is the one of its port. A refusal is counted and logged
/// here, once.
pub(crate) async fn serve(worker: Rc<Worker>, cohort: Rc<Cohort>, socket: Socket, source: Source) {
    let _panics = CountPanic(&worker);
    let scope = cohort.scope();
    match establish::establish(&worker, &cohort, scope, socket, source).await {
        Ok(Some(established)) => drive(Rc::clone(&worker), established).await,
        Ok(None) => {}
        Err(refused) => refuse(&worker, &refused.scope, &refused.source, refused.refusal),
    }
}

async fn drive(worker: Rc<Worker>, established: Established) {
    let Established { ready, buffered, source, tls, cohort } = established;
    let context = ConnectionContext { worker, source, tls, cohort };
    // Boxed, so that a task is as large as the driver that it runs and not as the largest.
    match ready {
        Ready::Http1(io) => Box::pin(h1::serve(io, buffered, context)).await,
        Ready::Http2(io) => Box::pin(h2::serve(io, buffered, context)).await,
        Ready::TlsHttp1(io) => Box::pin(h1::serve(io, buffered, context)).await,
        Ready::TlsHttp2(io) => Box::pin(h2::serve(io, buffered, context)).await,
    }
}

/// Counts a refused connection and writes its line.
pub(crate) fn refuse(worker: &Worker, scope: &Scope, source: &Source, refusal: Refusal) {
    let listener = scope.listener_or_first();
    listener.metrics.refused(refusal);
    if let Some(format) = scope.snapshot().access_log {
        worker.access_log.refused(format, &listener.id, source, refusal);
    }
}

/// A panic ends its connection, not its worker; it is a bug all the same, and counted.
struct CountPanic<'a>(&'a Worker);

impl Drop for CountPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.carry.metrics.panicked();
        }
    }
}
