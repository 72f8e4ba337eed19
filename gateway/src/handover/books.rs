use std::{
    io,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, channel as mpsc_channel},
    },
    thread,
    time::{Duration, Instant},
};

use ir::ConnectionRate;
use proxy::{Count, Counted, Foreign, Keeper};

use super::{
    channel::Channel,
    message::{Entry, Row},
};

/// A successor that does not answer a question within this time is taken for gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// Rows in one message: each is shorter than 1,100 bytes, with names as long as they may be.
const ROWS: usize = 48;

/// The predecessor's end: it asks and tells the successor.
#[derive(Debug)]
pub(super) struct Books {
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Debug)]
struct State {
    /// `None`: the successor is gone.
    channel: Option<Channel>,
    /// What is to be told once the books are open; `None`: they are.
    waiting: Option<Vec<Entry>>,
}

impl Books {
    /// Closed at first: who tells something is put off, who asks something waits.
    pub(super) fn new(channel: Channel) -> Self {
        let state = State { channel: Some(channel), waiting: Some(Vec::new()) };
        Self { state: Mutex::new(state), opened: Condvar::new() }
    }

    /// Opens them with what was counted up to now.
    pub(super) fn open(&self, counts: &[Count]) -> io::Result<()> {
        let mut state = self.lock();
        let waiting = state.waiting.take().unwrap_or_default();
        self.opened.notify_all();
        let channel = state.channel.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        for rows in counts.chunks(ROWS) {
            channel.send(&Entry::Counts(rows.iter().map(Row::from).collect()), &[])?;
        }
        channel.send(&Entry::Complete, &[])?;
        waiting.iter().try_for_each(|entry| channel.send(entry, &[]))
    }

    /// The successor is none: whoever asks decides himself.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        (state.channel, state.waiting) = (None, None);
        self.opened.notify_all();
    }

    fn ask(&self, entry: &Entry) -> Option<bool> {
        let state = self.lock();
        let is_closed = |state: &mut State| state.waiting.is_some();
        let mut state = self.opened.wait_while(state, is_closed).unwrap_or_else(PoisonError::into_inner);
        let channel = state.channel.as_ref()?;
        let answer = channel.send(entry, &[]).and_then(|()| channel.receive(Some(Instant::now() + PATIENCE)));
        match answer {
            Ok((granted, _)) => Some(granted),
            Err(error) => {
                tracing::warn!(%error, "the successor does not answer: this process counts for itself");
                // A late answer must not be taken for the next one.
                state.channel = None;
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper for Books {
    fn take(&self, counted: &Counted, limit: Option<u64>) -> Option<bool> {
        self.ask(&Entry::Take { of: counted.into(), limit })
    }

    fn free(&self, counted: &Counted) {
        let entry = Entry::Free(counted.into());
        let mut state = self.lock();
        match &mut *state {
            State { waiting: Some(waiting), .. } => waiting.push(entry),
            State { channel: Some(channel), .. } if channel.send(&entry, &[]).is_err() => {
                state.channel = None
            }
            State { .. } => {}
        }
    }

    fn spend(&self, counted: &Counted, rate: ConnectionRate) -> Option<bool> {
        self.ask(&Entry::spend(counted, rate))
    }
}

/// A predecessor that still serves: this process counts its connections.
#[derive(Debug)]
pub(crate) struct Elder {
    /// Closed with the predecessor's end.
    ended: Receiver<()>,
}

impl Elder {
    /// Reads what the predecessor has counted up to now, and from then on answers it on a thread.
    pub(super) fn keep(channel: Channel, mut foreign: Foreign, until: Instant) -> io::Result<Self> {
        loop {
            match channel.receive(Some(until))?.0 {
                Entry::Counts(rows) => rows.into_iter().for_each(|row| foreign.hold(&row.into())),
                Entry::Complete => break,
                Entry::Take { .. } | Entry::Free(_) | Entry::Spend { .. } => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            }
        }
        let (end, ended) = mpsc_channel::<()>();
        let keep = move || {
            keep(&channel, foreign);
            drop(end);
        };
        thread::Builder::new().name("predecessor".to_owned()).spawn(keep)?;
        Ok(Self { ended })
    }

    /// Waits for the predecessor's end. False: it still serves.
    pub(crate) fn wait(&self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        self.ended.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }
}

/// Until the predecessor ends, however it does; then what is left of its connections is gone too.
fn keep(channel: &Channel, mut foreign: Foreign) {
    let ended = loop {
        let answer = match channel.receive(None).map(|(entry, _)| entry) {
            Ok(Entry::Counts(_) | Entry::Complete) => continue,
            Ok(Entry::Free(of)) => {
                foreign.free(&of.into());
                continue;
            }
            Ok(Entry::Take { of, limit }) => foreign.take(&of.into(), limit),
            Ok(Entry::Spend { of, connections, unit, burst }) => {
                foreign.spend(&of.into(), ConnectionRate { connections, unit, burst })
            }
            Err(error) => break error,
        };
        if let Err(error) = channel.send(&answer, &[]) {
            break error;
        }
    };
    match ended.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            tracing::info!("the predecessor has ended");
        }
        _ => {
            tracing::warn!(error = %ended, "the predecessor is not understood: its connections are not counted")
        }
    }
    drop(foreign);
}

#[cfg(test)]
mod tests {
    use ir::{ListenerId, RateUnit, SourceKey};
    use proxy::{Options, Proxy, access_log::Sink};

    use super::*;

    fn proxy() -> Proxy {
        let options = Options { workers: Some(1), access_log: Sink::Off, descriptor_cap: None };
        Proxy::start(options).expect("threads")
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    fn listener() -> Counted {
        Counted::Listener(ListenerId("default/eg/web".into()))
    }

    #[test]
    fn the_successor_is_asked_and_told_and_its_end_is_noticed() {
        let (ours, theirs) = Channel::pair().expect("two ends");
        let (proxy, books) = (proxy(), Books::new(ours));
        let theirs = Channel::new(theirs).expect("an end");
        // Before the books are open: who tells is put off, who asks waits.
        books.free(&listener());
        let source = Counted::Source {
            listener: ListenerId("default/eg/web".into()),
            network: "2001:db8::/64".parse().expect("a network"),
            key: SourceKey::Peer,
        };
        let counts = [
            Count { of: Counted::Connections, open: 250, full_in: Duration::ZERO },
            Count { of: listener(), open: 3, full_in: Duration::ZERO },
            Count { of: source.clone(), open: 1, full_in: Duration::ZERO },
        ];
        let elder = thread::scope(|scope| {
            let early = scope.spawn(|| books.take(&listener(), Some(3)));
            let foreign = proxy.foreign();
            let elder = scope.spawn(|| Elder::keep(theirs, foreign, later()).expect("it is all understood"));
            books.open(&counts).expect("sent");
            assert_eq!(early.join().expect("it does not panic"), Some(true), "two were left");
            elder.join().expect("it does not panic")
        });
        assert_eq!(books.take(&listener(), Some(3)), Some(false));
        assert_eq!(books.take(&Counted::Connections, Some(251)), Some(true));
        assert_eq!(books.take(&Counted::Connections, Some(251)), Some(false));
        assert_eq!(books.take(&source, Some(1)), Some(false));
        books.free(&source);
        assert_eq!(books.take(&source, Some(1)), Some(true));
        let rate = ConnectionRate { connections: 1, unit: RateUnit::Hour, burst: 1 };
        assert_eq!([0; 2].map(|_| books.spend(&source, rate)), [Some(true), Some(false)]);
        assert_eq!([0; 2].map(|_| books.spend(&listener(), rate)), [Some(true), Some(false)]);
        assert!(!elder.wait(Instant::now()));
        drop(books);
        assert!(elder.wait(later()), "its end is noticed");
        assert!(proxy.foreign().take(&listener(), Some(1)), "and nothing is counted any more");
    }

    #[test]
    fn rows_with_the_longest_names_are_sent() {
        // Of a ListenerSet.
        let longest = [("n", 63), ("g", 253), ("n", 63), ("s", 253), ("l", 253)];
        let longest = longest.map(|(letter, most)| letter.repeat(most));
        let of = Counted::Source {
            listener: ListenerId(longest.join("/").into()),
            network: "2001:db8:aaaa:aaaa:aaaa:aaaa:aaaa:aaaa/128".parse().expect("a network"),
            key: SourceKey::ProxySource,
        };
        let counts = vec![Count { of, open: u64::MAX, full_in: Duration::from_nanos(u64::MAX) }; ROWS];
        let (ours, theirs) = Channel::pair().expect("two ends");
        let theirs = Channel::new(theirs).expect("an end");
        let books = Books::new(ours);
        thread::scope(|scope| {
            let told = scope.spawn(|| theirs.receive::<Entry>(None));
            books.open(&counts).expect("sent");
            let (entry, _) = told.join().expect("it does not panic").expect("understood");
            assert!(matches!(entry, Entry::Counts(rows) if rows.len() == ROWS));
        });
    }

    #[test]
    fn one_that_is_gone_answers_nothing() {
        let (ours, theirs) = Channel::pair().expect("two ends");
        let books = Books::new(ours);
        drop(theirs);
        assert!(books.open(&[]).is_err());
        assert_eq!(books.take(&listener(), None), None);
        books.free(&listener());
        let (ours, _theirs) = Channel::pair().expect("two ends");
        let books = Books::new(ours);
        thread::scope(|scope| {
            let waits = scope.spawn(|| books.take(&listener(), None));
            books.close();
            assert_eq!(waits.join().expect("it does not panic"), None);
        });
        assert!(books.open(&[]).is_err());
    }
}
