use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use ir::{ListenerId, SocketKey};
use tokio::sync::Notify;

use crate::snapshot::{Held, Scope};

/// The connections of one worker that came by the same socket to the same listener, under settings that can
/// be swapped beneath them. A reload touches cohorts, not connections: where bind, listener, TLS and PROXY
/// settings go on, the cohort is moved to the new snapshot and its connections follow at their next request;
/// where they do not, it is told to drain and keeps the last snapshot that it could be served with.
pub(crate) struct Cohort {
    socket: SocketKey,
    scope: RefCell<Scope>,
    stage: Cell<Stage>,
    told: Notify,
}

/// How far a cohort is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    /// A successor process serves whoever comes: a connection that waits for a request may have one more.
    Leaving,
    /// A connection that waits for a request is closed.
    Draining,
}

impl Cohort {
    /// A cohort served from this scope on.
    pub(crate) fn new(socket: SocketKey, scope: Scope) -> Rc<Self> {
        Rc::new(Self {
            socket,
            scope: RefCell::new(scope),
            stage: Cell::new(Stage::Serving),
            told: Notify::new(),
        })
    }

    /// The newest scope that serves this cohort.
    pub(crate) fn scope(&self) -> Scope {
        self.scope.borrow().clone()
    }

    /// The key under which new connections find it.
    pub(crate) fn key(&self) -> (SocketKey, Option<ListenerId>) {
        (self.socket, self.scope.borrow().listener().map(|listener| listener.id.clone()))
    }

    /// Moves to a new snapshot, or starts draining. True: it goes on.
    pub(crate) fn follow(&self, held: &Held) -> bool {
        if self.is_draining() {
            return false;
        }
        let next = self.scope.borrow().successor(&self.socket, held);
        match next {
            Some(scope) => {
                self.scope.replace(scope);
                true
            }
            None => {
                self.drain();
                false
            }
        }
    }

    /// Tells every connection to finish its request and close.
    pub(crate) fn drain(&self) {
        self.stage.set(Stage::Draining);
        self.told.notify_waiters();
    }

    /// Tells every connection to close with its next response. In HTTP/1 a client that has a connection which waits
    /// may be about to send a request, and would find it closed (RFC 9112 §9.5); HTTP/2 has GOAWAY for that.
    pub(crate) fn leave(&self) {
        self.stage.set(self.stage.get().max(Stage::Leaving));
        self.told.notify_waiters();
    }

    /// True: finish the request at hand, say so (`Connection: close`, GOAWAY), then close.
    pub(crate) fn is_draining(&self) -> bool {
        self.stage.get() > Stage::Serving
    }

    /// Resolves when draining or leaving starts, at once if it has. Cancel-safe; one per connection is enough.
    pub(crate) async fn drained(&self) {
        self.reached(Stage::Leaving).await;
    }

    /// Resolves when a connection that waits for a request is to be closed.
    pub(crate) async fn dismissed(&self) {
        self.reached(Stage::Draining).await;
    }

    async fn reached(&self, stage: Stage) {
        loop {
            let told = self.told.notified();
            if self.stage.get() >= stage {
                return;
            }
            told.await;
        }
    }
}
