mod establish;
mod preface;
mod socket;
mod turn_away;

use std::{pin::Pin, rc::Rc};

use crate::{
    cohort::Cohort,
    http::{h1, h2},
    refusal::Refusal,
    snapshot::Scope,
    sources::{Source, Tlvs},
    worker::Worker,
};
use establish::{Established, Ready, Refused};
pub(crate) use establish::{Known, admit};
pub(crate) use socket::{ClientIo, Socket, reset_on_close};
pub(crate) use turn_away::turn_away;

/// What a protocol driver knows of the connection that it is given. Slots and metrics of the connection hang
/// on its IO: dropping the IO closes the descriptor, then frees the slot.
pub(crate) struct ConnectionContext {
    /// Pools, log and carried state of the thread.
    pub(crate) worker: Rc<Worker>,
    /// Who is calling.
    pub(crate) source: Source,
    /// What its PROXY header says beside addresses.
    pub(crate) tlvs: Option<Tlvs>,
    /// Present if the connection came in TLS.
    pub(crate) tls: Option<TlsInfo>,
    cohort: Rc<Cohort>,
}

/// What the handshake settled.
#[derive(Clone, Debug)]
pub(crate) struct TlsInfo {
    /// Server name, lower case; `None`: the client sent none.
    pub(crate) sni: Option<Box<str>>,
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

    /// Resolves once the connection is to be closed if it waits for a request; otherwise as
    /// [`ConnectionContext::drained`].
    pub(crate) async fn dismissed(&self) {
        self.cohort.dismissed().await;
    }
}

/// Serves an accepted connection to its end. `cohort` is the one of its port. A refusal is counted and logged
/// here, once.
pub(crate) async fn serve(worker: Rc<Worker>, cohort: Rc<Cohort>, socket: Socket, source: Source) {
    let _panics = CountPanic(Rc::clone(&worker));
    // Boxed apart, so that what a handshake needs is given back with its end.
    let driver = Box::pin(prepare(worker, cohort, socket, source)).await;
    if let Some(driver) = driver {
        driver.await;
    }
}

/// Takes a connection to its first request. `None`: there is none, and all is said about it.
async fn prepare(worker: Rc<Worker>, cohort: Rc<Cohort>, socket: Socket, source: Source) -> Option<Driver> {
    match establish::establish(&worker, &cohort, cohort.scope(), socket, source).await {
        Ok(established) => Some(drive(worker, established?)),
        Err(Refused { refusal, scope, source, turned_away: None }) => {
            refuse(&worker, &scope, &source, refusal);
            None
        }
        Err(Refused { refusal, scope, source, turned_away: Some(socket) }) => {
            turn_away(&worker, &cohort, &scope, &source, refusal, socket);
            None
        }
    }
}

/// A protocol at work on a connection. Boxed, so that a task is as large as the driver that it runs and not as the
/// largest.
type Driver = Pin<Box<dyn Future<Output = ()>>>;

fn drive(worker: Rc<Worker>, established: Established) -> Driver {
    let Established { ready, buffered, source, tlvs, tls, cohort } = established;
    let context = ConnectionContext { worker, source, tlvs, tls, cohort };
    match ready {
        Ready::Http1(io) => Box::pin(h1::serve(io, buffered, context)),
        Ready::Http2(io) => Box::pin(h2::serve(io, buffered, context)),
        Ready::TlsHttp1(io) => Box::pin(h1::serve(io, buffered, context)),
        Ready::TlsHttp2(io) => Box::pin(h2::serve(io, buffered, context)),
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

/// Counts a connection that a dry run would have refused, and writes its line.
fn would_refuse(worker: &Worker, scope: &Scope, source: &Source, refusal: Refusal) {
    let listener = scope.listener_or_first();
    listener.metrics.would_refuse(refusal);
    if let Some(format) = scope.snapshot().access_log {
        worker.access_log.would_refuse(format, &listener.id, source, refusal);
    }
}

/// A panic ends its connection, not its worker; it is a bug all the same, and counted.
struct CountPanic(Rc<Worker>);

impl Drop for CountPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.carry.metrics.panicked();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a connection costs whatever it speaks, beside its driver.
    #[test]
    fn a_connections_task_is_small() {
        fn size<F>(_: impl Fn(Rc<Worker>, Rc<Cohort>, Socket, Source) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size(serve) <= 512, "{}", size(serve));
    }
}
