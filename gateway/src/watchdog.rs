//! Asks the workers whether they answer, and tells the service manager while they all do.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use proxy::{Pulse, metrics::WorkerMetrics};

use crate::systemd;

/// How often workers are asked where no service manager sets the pace.
const PACE: Duration = Duration::from_secs(10);

/// Rounds in the time that the service manager waits: a worker that was busy for half of it has two left.
const ROUNDS: u32 = 4;

/// Asks on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Begins to ask.
    pub(crate) fn start(pulses: Vec<Pulse>, metrics: WorkerMetrics) -> Result<Self> {
        let pace = systemd::watchdog().map_or(PACE, |period| period / ROUNDS);
        let (stop, stopped) = channel();
        let ask = move || {
            (0..pulses.len()).for_each(|worker| metrics.stalled(worker, false));
            let mut feeder = Feeder::new(pulses.into_iter().map(|pulse| move || pulse.ask()));
            loop {
                let all = feeder.round(Instant::now(), |worker, stalled| {
                    metrics.stalled(worker, stalled.is_some());
                    tell(worker, stalled);
                });
                if all {
                    systemd::alive();
                }
                if stopped.recv_timeout(pace) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("watchdog".to_owned()).spawn(ask);
        Ok(Self { stop: Some(stop), thread: Some(thread.context("cannot start a thread")?) })
    }
}

fn tell(worker: usize, stalled: Option<Duration>) {
    match stalled {
        Some(since) => tracing::error!(
            worker,
            ?since,
            "worker-{worker} does not answer: its connections stand still, and the watchdog is not fed"
        ),
        None => tracing::warn!(worker, "worker-{worker} answers again"),
    }
}

/// Asks workers in rounds. In each, those that have answered are asked anew; of the others there is one question open.
struct Feeder<A> {
    workers: Vec<Asked<A>>,
}

struct Asked<A> {
    ask: A,
    /// `None`: it was not asked yet.
    question: Option<(Receiver<()>, Instant)>,
    stalled: bool,
}

impl<A: Fn() -> Receiver<()>> Feeder<A> {
    fn new(asks: impl Iterator<Item = A>) -> Self {
        Self { workers: asks.map(|ask| Asked { ask, question: None, stalled: false }).collect() }
    }

    /// True: every worker has answered since the last round. `changed` is told of a worker that has not (since when it
    /// was asked), and of one that answers again (`None`); once each.
    fn round(&mut self, now: Instant, mut changed: impl FnMut(usize, Option<Duration>)) -> bool {
        let mut all = true;
        for (number, worker) in self.workers.iter_mut().enumerate() {
            let Asked { ask, question, stalled } = worker;
            match question {
                Some((answer, since)) if answer.try_recv().is_err() => {
                    all = false;
                    if !*stalled {
                        *stalled = true;
                        changed(number, Some(now.saturating_duration_since(*since)));
                    }
                    continue;
                }
                Some(_) => {
                    if std::mem::take(stalled) {
                        changed(number, None);
                    }
                }
                None => all = false,
            }
            *question = Some((ask(), now));
        }
        all
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.take();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the watchdog's thread has panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    /// A worker that answers when it is let.
    #[derive(Clone, Default)]
    struct Fake(Rc<RefCell<Vec<Sender<()>>>>);

    impl Fake {
        fn ask(&self) -> Receiver<()> {
            let (done, answer) = channel();
            self.0.borrow_mut().push(done);
            answer
        }

        /// How many questions it has answered.
        fn answer(&self) -> usize {
            let questions = std::mem::take(&mut *self.0.borrow_mut());
            questions.iter().filter(|done| done.send(()).is_ok()).count()
        }
    }

    #[test]
    fn one_worker_that_does_not_answer_starves_the_watchdog_and_is_named() {
        let (quick, stuck) = (Fake::default(), Fake::default());
        let asks = [quick.clone(), stuck.clone()].map(|fake| move || fake.ask());
        let (mut feeder, begin) = (Feeder::new(asks.into_iter()), Instant::now());
        let mut told = Vec::new();
        let mut round = |seconds: u64| {
            let fed = feeder.round(begin + Duration::from_secs(seconds), |worker, since| {
                told.push((worker, since));
            });
            (fed, std::mem::take(&mut told))
        };
        assert_eq!(round(0), (false, vec![]), "nobody was asked yet");
        assert_eq!((quick.answer(), stuck.answer()), (1, 1));
        assert_eq!(round(5), (true, vec![]));
        assert_eq!(quick.answer(), 1);
        assert_eq!(round(10), (false, vec![(1, Some(Duration::from_secs(5)))]));
        assert_eq!(quick.answer(), 1);
        assert_eq!(round(15), (false, vec![]), "it is told once");
        assert_eq!((quick.answer(), stuck.answer()), (1, 1), "one question is open, however long");
        assert_eq!(round(20), (true, vec![(1, None)]));
        // One that has died answers as little.
        assert_eq!(quick.answer(), 1);
        stuck.0.borrow_mut().clear();
        assert_eq!(round(25), (false, vec![(1, Some(Duration::from_secs(5)))]));
    }
}
