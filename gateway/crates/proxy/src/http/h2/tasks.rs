use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::task::spawn_local;

use super::watch::Watch;
use crate::{alarm::Alarm, connection::ConnectionContext};

/// The streams of one connection, each of which is a task of its worker.
pub(super) struct Tasks {
    context: Rc<ConnectionContext>,
    running: Cell<usize>,
    /// The watch of the stream that hyper is about to start.
    arriving: Cell<Option<Rc<Watch>>>,
    /// Timers that no stream uses: arming one anew costs more than moving it.
    alarms: RefCell<Vec<Alarm>>,
    timed_out: Cell<bool>,
}

impl Tasks {
    /// No stream yet.
    pub(super) fn new(context: &Rc<ConnectionContext>) -> Rc<Self> {
        Rc::new(Self {
            context: Rc::clone(context),
            running: Cell::new(0),
            arriving: Cell::new(None),
            alarms: RefCell::default(),
            timed_out: Cell::new(false),
        })
    }

    /// The connection's.
    pub(super) fn context(&self) -> &Rc<ConnectionContext> {
        &self.context
    }

    /// The stream that hyper starts next is under this watch.
    pub(super) fn expect(&self, watch: &Rc<Watch>) {
        self.arriving.set(Some(Rc::clone(watch)));
    }

    /// True while no stream is answered.
    pub(super) fn is_idle(&self) -> bool {
        self.running.get() == 0
    }

    /// True once a timer has ended the last stream that there was.
    pub(super) fn has_timed_out(&self) -> bool {
        self.timed_out.get()
    }
}

/// How hyper starts the streams of a connection.
#[derive(Clone)]
pub(super) struct Spawner(pub(super) Rc<Tasks>);

impl<F> Executor<F> for Spawner
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        match self.0.arriving.take() {
            Some(watch) => {
                let alarm = self.0.alarms.borrow_mut().pop().unwrap_or_default();
                let seat = Seat::take(&self.0);
                spawn_local(Watched { future, watch, alarm, seat });
            }
            // What a tunnel would need beside its stream.
            None => {
                spawn_local(future);
            }
        }
    }
}

pin_project! {
    /// A stream that its timers may end.
    struct Watched<F> {
        #[pin]
        future: F,
        watch: Rc<Watch>,
        alarm: Alarm,
        // Dropped after the stream.
        seat: Seat,
    }

    impl<F> PinnedDrop for Watched<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            this.seat.tasks.alarms.borrow_mut().push(std::mem::take(this.alarm));
        }
    }
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            if this.future.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            this.watch.poll_beside(cx);
            ready!(this.alarm.poll(cx, this.watch.deadline()));
            this.seat.timed_out = true;
            if !this.watch.expire() {
                // Dropping a stream before its end resets it.
                return Poll::Ready(());
            }
        }
    }
}

/// A place among the streams that run.
struct Seat {
    tasks: Rc<Tasks>,
    timed_out: bool,
}

impl Seat {
    fn take(tasks: &Rc<Tasks>) -> Self {
        tasks.running.set(tasks.running.get() + 1);
        Self { tasks: Rc::clone(tasks), timed_out: false }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let left = self.tasks.running.get() - 1;
        self.tasks.running.set(left);
        if self.timed_out && left == 0 {
            self.tasks.timed_out.set(true);
        }
        if std::thread::panicking() {
            self.tasks.context.worker.carry.metrics.panicked();
        }
    }
}
