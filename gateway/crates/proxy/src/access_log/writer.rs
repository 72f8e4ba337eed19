use std::{
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Builder, Thread},
    time::{Duration, SystemTime},
};

use ir::AccessLogFormat;
use prometheus::IntCounter;

use super::{Names, Record, Sink, Unserved, format};

/// Bytes that may wait in one worker's pipe. What comes on top is dropped and counted: a reader that stalls
/// costs lines, never traffic.
const PIPE_LIMIT: usize = 1 << 20;

/// How long the writing thread gathers after the first line: one wake-up for many lines.
const GATHER: Duration = Duration::from_millis(10);

/// How long the last writer waits for the lines before it to be written. A reader that stalls must not hold
/// up the end of the process.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The way to the thread that writes. A clone has a pipe of its own, so that the lock of a pipe is contended
/// only in the moment in which the thread takes what has gathered there.
pub(crate) struct Writer {
    pipe: Arc<Mutex<String>>,
    /// `None`: there is no sink, and a line costs nothing.
    desk: Option<Arc<Desk>>,
}

/// What writers share. Its end is the end of the thread.
struct Desk {
    room: Arc<Room>,
    thread: Thread,
}

/// What writers and the thread share.
struct Room {
    pipes: Mutex<Vec<Arc<Mutex<String>>>>,
    /// True: somebody has rung since the thread last looked.
    rung: AtomicBool,
    closing: AtomicBool,
    finished: (Mutex<bool>, Condvar),
    dropped: IntCounter,
}

impl Writer {
    /// Starts the writing thread. Lines that cannot be written are counted in `dropped`.
    pub(crate) fn start(sink: Sink, dropped: IntCounter) -> io::Result<Self> {
        match sink {
            Sink::Off => Ok(Self { pipe: Arc::default(), desk: None }),
            Sink::Stdout => Self::spawn(
                |lines| {
                    let mut stdout = io::stdout().lock();
                    stdout.write_all(lines.as_bytes())?;
                    stdout.flush()
                },
                dropped,
            ),
            Sink::Channel(sender) => {
                let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
                let send = move |line: &str| sender.send(line.to_owned()).map_err(gone);
                Self::spawn(move |lines| lines.lines().try_for_each(&send), dropped)
            }
        }
    }

    /// Starts a thread that gives whole lines to `out`.
    pub(super) fn spawn(
        out: impl FnMut(&str) -> io::Result<()> + Send + 'static,
        dropped: IntCounter,
    ) -> io::Result<Self> {
        let pipe = Arc::default();
        let room = Arc::new(Room {
            pipes: Mutex::new(vec![Arc::clone(&pipe)]),
            rung: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            finished: Default::default(),
            dropped,
        });
        let shared = Arc::clone(&room);
        let handle = Builder::new().name("access-log".to_owned()).spawn(move || shared.write_all(out))?;
        Ok(Self { pipe, desk: Some(Arc::new(Desk { room, thread: handle.thread().clone() })) })
    }

    /// Writes the line of a request.
    pub(crate) fn request(&self, format: AccessLogFormat, record: &Record, names: &Names<'_>) {
        self.line(|line| format::request(line, format, record, names));
    }

    /// Writes the line of a refused connection, or of one that a dry run would have refused.
    pub(crate) fn refused(&self, format: AccessLogFormat, unserved: &Unserved<'_>) {
        self.line(|line| format::refused(line, format, SystemTime::now(), unserved));
    }

    /// True: a line goes somewhere, so making a record is worth its while.
    pub(crate) fn is_on(&self) -> bool {
        self.desk.is_some()
    }

    fn line(&self, write: impl FnOnce(&mut String)) {
        let Some(desk) = &self.desk else { return };
        let mut pipe = lock(&self.pipe);
        if pipe.len() >= PIPE_LIMIT {
            desk.room.dropped.inc();
            return;
        }
        write(&mut pipe);
        drop(pipe);
        desk.ring();
    }
}

impl Clone for Writer {
    fn clone(&self) -> Self {
        let pipe = Arc::default();
        if let Some(desk) = &self.desk {
            lock(&desk.room.pipes).push(Arc::clone(&pipe));
        }
        Self { pipe, desk: self.desk.clone() }
    }
}

impl Desk {
    fn ring(&self) {
        // The look before the swap keeps the flag's cache line shared while the thread gathers.
        if !self.room.rung.load(Ordering::Relaxed) && !self.room.rung.swap(true, Ordering::AcqRel) {
            self.thread.unpark();
        }
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.room.closing.store(true, Ordering::Release);
        self.thread.unpark();
        let (finished, changed) = &self.room.finished;
        let _ = changed.wait_timeout_while(lock(finished), LAST_LINES, |finished| !*finished);
    }
}

impl Room {
    /// What the thread does.
    fn write_all(&self, mut out: impl FnMut(&str) -> io::Result<()>) {
        let mut lines = String::new();
        loop {
            let closing = self.closing.load(Ordering::Acquire);
            self.rung.store(false, Ordering::SeqCst);
            let pipes = lock(&self.pipes).clone();
            for pipe in pipes {
                // The pipe gets the emptied buffer, so that neither is ever made anew.
                std::mem::swap(&mut lines, &mut *lock(&pipe));
                if !lines.is_empty() && out(&lines).is_err() {
                    self.dropped.inc_by(lines.lines().count() as u64);
                }
                lines.clear();
            }
            lock(&self.pipes).retain(|pipe| Arc::strong_count(pipe) > 1 || !lock(pipe).is_empty());
            if closing {
                break;
            }
            while !self.rung.load(Ordering::Acquire) && !self.closing.load(Ordering::Acquire) {
                thread::park();
            }
            if !self.closing.load(Ordering::Acquire) {
                thread::park_timeout(GATHER);
            }
        }
        let (finished, changed) = &self.finished;
        *lock(finished) = true;
        changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
