mod thread;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use ir::{ListenerId, SocketKey};
use tokio::sync::Notify;

use crate::{
    access_log, carry::Carry, cohort::Cohort, listener::Port, snapshot::Held, snapshot::Scope,
    upstream::Pools,
};
pub use thread::Pulse;
pub(crate) use thread::{Command, WorkerThread};

/// The socket that connections came by, and their listener where the handshake has settled it.
type CohortKey = (SocketKey, Option<ListenerId>);

/// How the connections of a process that ends are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Nobody comes after it: one that waits for a request is closed.
    Last,
    /// A successor serves whoever comes: an HTTP/1 connection that waits for a request may have one more.
    Succeeded,
}

/// What one worker thread owns. Everything on it is the thread's own; `carry` is what cores share.
pub(crate) struct Worker {
    /// What outlives reloads and is shared between workers.
    pub(crate) carry: Arc<Carry>,
    /// Upstream connections that wait for a request.
    pub(crate) pools: Pools,
    /// The way to the access log.
    pub(crate) access_log: access_log::Writer,
    held: RefCell<Held>,
    cohorts: RefCell<HashMap<CohortKey, Rc<Cohort>>>,
    /// Mostly one of a key; more where the worker has inherited more.
    ports: RefCell<HashMap<SocketKey, Vec<Rc<Port>>>>,
    farewell: Cell<Option<Farewell>>,
    /// Accepted descriptors that are open.
    descriptors: Cell<usize>,
    descriptor_closed: Notify,
}

impl Worker {
    /// A worker with nothing to serve yet.
    pub(crate) fn new(carry: Arc<Carry>, access_log: access_log::Writer, held: Held) -> Rc<Self> {
        Rc::new(Self {
            carry,
            pools: Pools::default(),
            access_log,
            held: RefCell::new(held),
            cohorts: RefCell::default(),
            ports: RefCell::default(),
            farewell: Cell::new(None),
            descriptors: Cell::new(0),
            descriptor_closed: Notify::new(),
        })
    }

    /// The snapshot in force.
    pub(crate) fn held(&self) -> Held {
        self.held.borrow().clone()
    }

    /// The cohort for a connection of a port whose handshake has settled its listener under `scope`. If the
    /// settings have changed since, it is one of its own, and drains.
    pub(crate) fn join(&self, port: &Cohort, scope: &Scope) -> Rc<Cohort> {
        let (socket, _) = port.key();
        let current = scope.successor(&socket, &self.held.borrow());
        match (current, self.farewell.get()) {
            (Some(scope), None) => self.cohort(socket, scope),
            (current, farewell) => {
                let goes_on = current.is_some();
                let cohort = Cohort::new(socket, current.unwrap_or_else(|| scope.clone()));
                say(farewell.filter(|_| goes_on).unwrap_or(Farewell::Last), &cohort);
                cohort
            }
        }
    }

    /// Moves ports and cohorts to a new snapshot; those that cannot go on start draining. The ports of removed
    /// sockets keep the snapshot that they were served with, until they are told to close.
    fn publish(&self, held: Held) {
        self.held.replace(held.clone());
        self.cohorts.borrow_mut().retain(|_, cohort| cohort.follow(&held));
        let ports: Vec<Rc<Port>> = self.ports.borrow().values().flatten().cloned().collect();
        for port in ports {
            if let Some(cohort) = self.port_cohort(port.key()) {
                port.serve_as(cohort);
            }
        }
    }

    /// Starts accepting on a listening socket of the snapshot in force.
    fn open(self: &Rc<Self>, key: SocketKey, socket: std::os::fd::OwnedFd) {
        let Some(cohort) = self.port_cohort(key) else { return };
        match Port::open(key, socket, cohort) {
            Ok(port) => {
                let port = Rc::new(port);
                self.ports.borrow_mut().entry(key).or_default().push(Rc::clone(&port));
                let worker = Rc::clone(self);
                tokio::task::spawn_local(async move { port.accept(&worker).await });
            }
            Err(error) => tracing::error!(%key, %error, "cannot accept on a bound socket"),
        }
    }

    /// Stops accepting on a socket once its queue is empty.
    fn close(&self, key: &SocketKey) {
        self.ports.borrow_mut().remove(key).iter().flatten().for_each(|port| port.close());
    }

    /// Stops accepting on these sockets at once: what is queued is somebody else's.
    fn halt(&self, keys: &[SocketKey]) {
        let mut ports = self.ports.borrow_mut();
        keys.iter().filter_map(|key| ports.remove(key)).flatten().for_each(|port| port.halt());
    }

    /// Stops accepting everywhere and tells every connection to finish.
    fn drain(&self, farewell: Farewell) {
        self.farewell.set(Some(farewell));
        for (_, ports) in self.ports.borrow_mut().drain() {
            for port in ports {
                say(farewell, &port.cohort());
                port.close();
            }
        }
        for (_, cohort) in self.cohorts.borrow_mut().drain() {
            say(farewell, &cohort);
        }
    }

    fn port_cohort(&self, key: SocketKey) -> Option<Rc<Cohort>> {
        let held = self.held();
        let bind = held.bind_at(&key)?;
        Some(self.cohort(key, Scope::new(held, bind, None)))
    }

    fn cohort(&self, socket: SocketKey, scope: Scope) -> Rc<Cohort> {
        let cohort = Cohort::new(socket, scope);
        Rc::clone(self.cohorts.borrow_mut().entry(cohort.key()).or_insert(cohort))
    }

    /// A descriptor was accepted.
    pub(crate) fn descriptor_opened(&self) {
        self.descriptors.set(self.descriptors.get() + 1);
    }

    /// An accepted descriptor was closed.
    pub(crate) fn descriptor_closed(&self) {
        self.descriptors.set(self.descriptors.get() - 1);
        self.descriptor_closed.notify_waiters();
    }

    /// Resolves when this worker closes a descriptor.
    pub(crate) async fn descriptor_is_closed(&self) {
        self.descriptor_closed.notified().await;
    }

    /// Resolves when no connection is left.
    async fn idle(&self) {
        loop {
            let closed = self.descriptor_closed.notified();
            if self.descriptors.get() == 0 {
                return;
            }
            closed.await;
        }
    }
}

fn say(farewell: Farewell, cohort: &Cohort) {
    match farewell {
        Farewell::Last => cohort.drain(),
        Farewell::Succeeded => cohort.leave(),
    }
}
