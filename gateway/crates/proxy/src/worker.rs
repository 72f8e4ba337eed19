use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use ir::{ListenerId, SocketKey};
use tokio::sync::Notify;

use crate::{access_log, carry::Carry, cohort::Cohort, snapshot::Held, upstream::Pools};

/// What one worker thread owns. Everything on it is the thread's own; `carry` is what cores share.
pub(crate) struct Worker {
    /// From 0; the thread is named `worker-N`.
    pub(crate) index: usize,
    /// What outlives reloads and is shared between workers.
    pub(crate) carry: Arc<Carry>,
    /// Upstream connections that wait for a request.
    pub(crate) pools: Pools,
    /// The way to the access log.
    pub(crate) access_log: access_log::Writer,
    held: RefCell<Held>,
    cohorts: RefCell<HashMap<(SocketKey, Option<ListenerId>), Rc<Cohort>>>,
    connections: Cell<usize>,
    closed: Notify,
}

impl Worker {
    /// The snapshot in force.
    pub(crate) fn held(&self) -> Held {
        self.held.borrow().clone()
    }
}
