use std::rc::Rc;

use crate::{cohort::Cohort, snapshot::Scope, sources::Source, worker::Worker};

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
