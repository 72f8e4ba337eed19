use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Context,
    time::Duration,
};

use ir::ClientTimeouts;
use tokio::time::Instant;

use crate::{
    alarm::earlier,
    body::{Body, Progress},
    error::ProxyError,
};

/// The timers of one stream. What answers the stream, what sends the response and the task around both share it:
/// hyper polls neither while the client takes nothing.
pub(super) struct Watch {
    began: Instant,
    /// `requestReceivedTimeout`.
    whole: Option<Duration>,
    /// `streamIdleTimeout`.
    idle: Option<Duration>,
    progress: Rc<Progress>,
    replying: Cell<bool>,
    /// Why the stream is to be answered by ourselves.
    expired: RefCell<Option<ProxyError>>,
    /// A response that came before the request was sent whole.
    early: RefCell<Option<Rc<RefCell<Body>>>>,
}

impl Watch {
    /// Watches a stream that began with its header.
    pub(super) fn new(
        began: Instant,
        timeouts: Option<&ClientTimeouts>,
        progress: &Rc<Progress>,
    ) -> Rc<Self> {
        Rc::new(Self {
            began,
            whole: timeouts.and_then(|timeouts| timeouts.request_received),
            idle: timeouts.and_then(|timeouts| timeouts.stream_idle),
            progress: Rc::clone(progress),
            replying: Cell::new(false),
            expired: RefCell::new(None),
            early: RefCell::new(None),
        })
    }

    /// A response has begun.
    pub(super) fn replying(&self, now: Instant) {
        self.replying.set(true);
        self.progress.touch(now);
    }

    /// A response has begun before the request was sent whole, which polling it goes on with.
    pub(super) fn replying_early(&self, body: &Rc<RefCell<Body>>) {
        self.early.replace(Some(Rc::clone(body)));
    }

    /// Goes on with sending the request, also while the client takes nothing of the response.
    pub(super) fn poll_beside(&self, cx: &mut Context<'_>) {
        if let Some(body) = &*self.early.borrow() {
            body.borrow_mut().poll_beside(cx);
        }
    }

    /// Something has moved.
    pub(super) fn touch(&self, now: Instant) {
        self.progress.touch(now);
    }

    /// When the stream has waited for too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let idle = self.idle.map(|limit| self.progress.touched() + limit);
        if self.replying.get() {
            return idle;
        }
        earlier(self.whole_by(), idle)
    }

    fn whole_by(&self) -> Option<Instant> {
        self.whole.filter(|_| !self.progress.is_ended()).map(|limit| self.began + limit)
    }

    /// The deadline has come. True: the stream is answered yet; false: a response has begun, and cannot be taken
    /// back.
    pub(super) fn expire(&self) -> bool {
        if self.replying.get() {
            return false;
        }
        let error = if self.whole_by().is_some_and(|whole| whole <= Instant::now()) {
            ProxyError::RequestTimeout
        } else if self.progress.is_ended() {
            ProxyError::ResponseIdle
        } else {
            ProxyError::RequestIdle
        };
        self.expired.replace(Some(error));
        true
    }

    /// What the stream is to be answered with, once its time is up.
    pub(super) fn expired(&self) -> Option<ProxyError> {
        self.expired.borrow_mut().take()
    }
}
