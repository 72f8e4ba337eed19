mod succession;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    num::NonZeroUsize,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use ir::{BindId, ListenerId, SocketKey};

use crate::{
    access_log,
    carry::Carry,
    descriptors,
    explain::Explainer,
    listener::{BindError, Bound, Sockets},
    metrics::Metrics,
    snapshot::Snapshot,
    sources::Sources,
    telling::{RefusedSources, Teller},
    worker::{Command, Farewell, Pulse, WorkerThread},
};

/// How the proxy is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Worker threads; `None`: one per core that the process may use.
    pub workers: Option<usize>,
    /// Where access-log lines go.
    pub access_log: access_log::Sink,
    /// Most client connections that descriptors are spent on; `None`: what the descriptor limit of the process
    /// allows at two per proxied connection, less a reserve. At this number accepting pauses.
    pub descriptor_cap: Option<u64>,
}

/// The data plane. Its functions block, for as long as the workers take to acknowledge, and are called from
/// one thread that is no worker.
pub struct Proxy {
    workers: Vec<WorkerThread>,
    sockets: Sockets,
    /// Listening sockets of another process that are no listener's yet.
    adopted: BTreeMap<SocketKey, Bound>,
    snapshot: Arc<Snapshot>,
    carry: Arc<Carry>,
    access_log: access_log::Writer,
}

/// A configuration that is built and whose new sockets are bound, but do not listen yet. Dropping it undoes
/// that.
pub struct Prepared {
    snapshot: Snapshot,
    bound: BTreeMap<SocketKey, Bound>,
    outcomes: Vec<(BindId, SocketKey, Result<(), BindError>)>,
}

/// What a listener is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerState {
    /// Which one.
    pub id: ListenerId,
    /// Connections past accept. Listeners of one clear-text port share a count.
    pub open_connections: u64,
    /// The limit in force.
    pub connection_limit: Option<u64>,
}

impl Prepared {
    /// For each address of each bind: whether its socket is bound. One that is not is not served; the others
    /// are.
    pub fn bind_outcomes(&self) -> &[(BindId, SocketKey, Result<(), BindError>)] {
        &self.outcomes
    }

    /// The generation that publishing it puts in force.
    pub fn generation(&self) -> u64 {
        self.snapshot.generation
    }
}

impl Proxy {
    /// Starts the workers; nothing is bound yet. Raises the soft descriptor limit of the process to the hard
    /// one. Fails where threads or runtimes cannot be made.
    pub fn start(options: Options) -> io::Result<Self> {
        let count = match options.workers.and_then(NonZeroUsize::new) {
            Some(count) => count,
            None => std::thread::available_parallelism()?,
        };
        let cap = match options.descriptor_cap {
            Some(cap) => cap,
            None => descriptors::connection_cap(descriptors::raise_limit()?),
        };
        let carry = Arc::new(Carry::new(Metrics::new(), cap));
        let snapshot = Arc::new(Snapshot::build(Arc::default(), &carry, 0));
        let dropped = carry.metrics.access_log_dropped();
        let access_log = access_log::Writer::start(options.access_log, dropped)?;
        let workers = (0..count.get())
            .map(|index| {
                WorkerThread::start(index, Arc::clone(&carry), access_log.clone(), Arc::clone(&snapshot))
            })
            .collect::<io::Result<Vec<_>>>()?;
        let (sockets, adopted) = (Sockets::default(), BTreeMap::new());
        Ok(Self { workers, sockets, adopted, snapshot, carry, access_log })
    }

    /// Builds the snapshot of a configuration and binds its new sockets. Nothing changes for clients yet.
    pub fn prepare(&self, config: Arc<ir::Gateway>, generation: u64) -> Prepared {
        let snapshot = Snapshot::build(Arc::clone(&config), &self.carry, generation);
        let mut bound = BTreeMap::new();
        let mut outcomes = Vec::new();
        for bind in &config.binds {
            for key in &bind.sockets {
                let outcome = if self.sockets.has(key) || bound.contains_key(key) {
                    Ok(())
                } else {
                    self.bind(*key).map(|sockets| drop(bound.insert(*key, sockets)))
                };
                outcomes.push((bind.id.clone(), *key, outcome));
            }
        }
        Prepared { snapshot, bound, outcomes }
    }

    /// Puts a prepared configuration in force: new sockets listen, and when this returns every worker serves
    /// the snapshot. What was removed drains from then on. The errors are of sockets that were bound and could
    /// not listen; they are not served.
    pub fn publish(&mut self, prepared: Prepared) -> Vec<BindError> {
        let Prepared { snapshot, bound, outcomes: _ } = prepared;
        self.snapshot = Arc::new(snapshot);
        let (added, failed) = self.listen(bound);
        self.apply_keepalive();
        self.send_to_all(|worker| self.publication(worker, &added));
        self.carry.has_new_rules();
        let wanted: BTreeSet<SocketKey> =
            self.snapshot.config.binds.iter().flat_map(|bind| bind.sockets.iter().copied()).collect();
        let removed = self.sockets.remove_unless(|key| wanted.contains(key));
        if !removed.is_empty() {
            self.workers.iter().for_each(|worker| worker.send(Command::Close(removed.clone())));
        }
        self.carry.prune();
        failed
    }

    fn bind(&self, key: SocketKey) -> Result<Bound, BindError> {
        let workers = self.workers.len();
        match self.adopted.get(&key) {
            Some(adopted) => adopted.share(key, workers).map_err(|reason| BindError { key, reason }),
            None => Bound::bind(key, workers),
        }
    }

    /// Asks these who is calling, and tells them who has enough connections; once, before the first configuration.
    pub fn consult(&self, sources: Arc<dyn Sources>) {
        self.carry.below.consult(sources);
    }

    /// The generation in force.
    pub fn generation(&self) -> u64 {
        self.snapshot.generation
    }

    /// Client connections past accept that this process serves.
    pub fn open_connections(&self) -> u64 {
        self.carry.own_connections()
    }

    /// A way to ask each worker whether it answers, in order.
    pub fn pulses(&self) -> Vec<Pulse> {
        self.workers.iter().map(WorkerThread::pulse).collect()
    }

    /// The data plane's metrics.
    pub fn metrics(&self) -> &prometheus::Registry {
        self.carry.metrics.registry()
    }

    /// For who refuses connections before they are accepted.
    pub fn teller(&self) -> Teller {
        Teller::new(&self.carry, &self.access_log)
    }

    /// Who is refused most.
    pub fn refused_sources(&self) -> RefusedSources {
        RefusedSources::new(&self.carry)
    }

    /// Answers questions about the configuration in force.
    pub fn explainer(&self) -> Explainer {
        Explainer::new(&self.carry, &self.snapshot)
    }

    /// The listeners in force, in the configuration's order.
    pub fn listener_states(&self) -> Vec<ListenerState> {
        let listeners = self.snapshot.binds.iter().flat_map(|bind| &bind.listeners);
        listeners
            .map(|listener| ListenerState {
                id: listener.id.clone(),
                open_connections: listener.slots.open(),
                connection_limit: listener.client.connection.limit.map(|limit| limit.value),
            })
            .collect()
    }

    /// Stops accepting once the queues are empty, lets every request finish, and cuts what is left at the
    /// deadline. True: nothing was left.
    pub fn drain(self, deadline: Duration) -> bool {
        self.end(Farewell::Last, deadline)
    }

    /// The same where a successor accepts: a connection closes with its next response, and one that waits for a request
    /// may have one more. What was not halted is drained as ever.
    pub fn retire(self, deadline: Duration) -> bool {
        self.end(Farewell::Succeeded, deadline)
    }

    fn end(self, farewell: Farewell, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        // The workers accept what is queued, by descriptors of their own.
        drop(self.sockets);
        let (done, finished) = mpsc::channel();
        for worker in &self.workers {
            worker.send(Command::Drain { farewell, done: done.clone() });
        }
        drop(done);
        let mut left = self.workers.iter();
        left.all(|_| finished.recv_timeout(end.saturating_duration_since(Instant::now())).is_ok())
    }

    fn listen(&mut self, bound: BTreeMap<SocketKey, Bound>) -> (Vec<SocketKey>, Vec<BindError>) {
        let (mut added, mut failed) = (Vec::new(), Vec::new());
        for (key, sockets) in bound {
            match sockets.listen() {
                Ok(()) => {
                    self.sockets.insert(key, sockets);
                    added.push(key);
                }
                Err(reason) => failed.push(BindError { key, reason }),
            }
        }
        (added, failed)
    }

    fn apply_keepalive(&self) {
        for bind in &self.snapshot.config.binds {
            for key in &bind.sockets {
                let Some(sockets) = self.sockets.at(key) else { continue };
                if let Err(error) = sockets.set_keepalive(bind.client.tcp_keepalive.as_ref()) {
                    tracing::warn!(%key, %error, "cannot set the keepalive of new connections");
                }
            }
        }
    }

    fn publication(&self, worker: usize, added: &[SocketKey]) -> impl FnOnce(mpsc::Sender<()>) -> Command {
        let lend = |key: &SocketKey| match self.sockets.at(key)?.lend(worker, self.workers.len()) {
            Ok(sockets) => Some((*key, sockets)),
            Err(error) => {
                tracing::error!(%key, %error, "cannot lend a socket to a worker");
                None
            }
        };
        let lent = added.iter().filter_map(lend);
        let opened =
            lent.flat_map(|(key, sockets)| sockets.into_iter().map(move |socket| (key, socket))).collect();
        let snapshot = Arc::clone(&self.snapshot);
        move |done| Command::Publish { snapshot, opened, done }
    }

    /// Sends each worker its command and waits until all have done it.
    fn send_to_all<F: FnOnce(mpsc::Sender<()>) -> Command>(&self, command: impl Fn(usize) -> F) {
        let (done, finished) = mpsc::channel();
        for (index, worker) in self.workers.iter().enumerate() {
            worker.send(command(index)(done.clone()));
        }
        drop(done);
        for _ in &self.workers {
            if finished.recv().is_err() {
                tracing::error!("a worker has died");
            }
        }
    }
}
