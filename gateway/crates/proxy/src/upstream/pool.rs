use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{connect::Target, http1::Connection, multiplexed::Multiplexed, resolve::Resolver};
use crate::{carry::UpstreamState, snapshot::Upstream};

/// How often connections are looked through for those that the backend has closed or that waited too long. One
/// that is closed is never used, whenever it is found.
const SWEEP: Duration = Duration::from_secs(1);

/// The connections of one worker that wait for a request, and the names it has resolved.
#[derive(Clone, Default)]
pub(crate) struct Pools(Rc<Shared>);

#[derive(Default)]
struct Shared {
    addresses: RefCell<HashMap<(usize, SocketAddr), Rc<EndpointPool>>>,
    paths: RefCell<HashMap<(usize, PathBuf), Rc<EndpointPool>>>,
    sweeping: Cell<bool>,
    resolver: Resolver,
}

/// The connections to one endpoint of one upstream.
pub(crate) struct EndpointPool {
    /// Keeps the address of the state, which is the key, from being another's.
    upstream: Weak<UpstreamState>,
    idle_timeout: Cell<Option<Duration>>,
    idle: RefCell<Vec<Idle>>,
    multiplexed: Multiplexed,
}

struct Idle {
    connection: Connection,
    until: Option<Instant>,
}

impl Pools {
    /// The names that this worker has resolved.
    pub(super) fn resolver(&self) -> &Resolver {
        &self.0.resolver
    }

    /// The connections of an upstream to a target.
    pub(super) fn endpoint(&self, upstream: &Upstream, target: Target<'_>) -> Rc<EndpointPool> {
        let state = Arc::as_ptr(&upstream.state).addr();
        let new = || Rc::new(EndpointPool::new(upstream));
        let pool = match target {
            Target::Address(address) => {
                Rc::clone(self.0.addresses.borrow_mut().entry((state, address)).or_insert_with(new))
            }
            Target::Path(path) => {
                Rc::clone(self.0.paths.borrow_mut().entry((state, path.to_owned())).or_insert_with(new))
            }
        };
        pool.idle_timeout.set(upstream.config.settings.idle_timeout);
        if !self.0.sweeping.replace(true) {
            let shared = Rc::clone(&self.0);
            tokio::task::spawn_local(async move { shared.sweep_until_empty().await });
        }
        pool
    }
}

impl Shared {
    async fn sweep_until_empty(&self) {
        while self.sweeping.get() {
            sleep(SWEEP).await;
            let now = Instant::now();
            self.addresses.borrow_mut().retain(|_, pool| pool.sweep(now) || Rc::strong_count(pool) > 1);
            self.paths.borrow_mut().retain(|_, pool| pool.sweep(now) || Rc::strong_count(pool) > 1);
            self.sweeping.set(!self.addresses.borrow().is_empty() || !self.paths.borrow().is_empty());
        }
    }
}

impl EndpointPool {
    fn new(upstream: &Upstream) -> Self {
        Self {
            upstream: Arc::downgrade(&upstream.state),
            idle_timeout: Cell::new(None),
            idle: RefCell::default(),
            multiplexed: Multiplexed::default(),
        }
    }

    /// The connections that requests share.
    pub(super) const fn multiplexed(&self) -> &Multiplexed {
        &self.multiplexed
    }

    /// The connection that was used last, if it is still good.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        loop {
            let Idle { mut connection, .. } = idle.pop()?;
            if !connection.is_stale() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for another request.
    pub(super) fn put(&self, connection: Connection) {
        let until = self.idle_timeout.get().map(|timeout| Instant::now() + timeout);
        self.idle.borrow_mut().push(Idle { connection, until });
    }

    /// Closes what is stale, what has waited too long, and what belongs to an upstream that is gone. True: some
    /// are left.
    fn sweep(&self, now: Instant) -> bool {
        let mut idle = self.idle.borrow_mut();
        if self.upstream.strong_count() == 0 {
            idle.clear();
            self.multiplexed.clear();
        }
        idle.retain_mut(|Idle { connection, until }| {
            until.is_none_or(|until| now < until) && !connection.is_stale()
        });
        let shared_are_left = self.multiplexed.sweep(now, self.idle_timeout.get());
        !idle.is_empty() || shared_are_left
    }
}
