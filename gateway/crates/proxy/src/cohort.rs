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
    draining: Cell<bool>,
    told: Notify,
}

impl Cohort {
    /// A cohort served from this scope on.
    pub(crate) fn new(socket: SocketKey, scope: Scope) -> Rc<Self> {
        Rc::new(Self { socket, scope: RefCell::new(scope), draining: Cell::new(false), told: Notify::new() })
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
        if self.draining.get() {
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
        self.draining.set(true);
        self.told.notify_waiters();
    }

    /// True: finish the request at hand, say so (`Connection: close`, GOAWAY), then close.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Resolves when draining starts, at once if it has. Cancel-safe; one per connection is enough.
    pub(crate) async fn drained(&self) {
        let told = self.told.notified();
        if !self.draining.get() {
            told.await;
        }
    }
}
