//! How long each step from the files to what is served takes, and how much memory the process has needed.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value as Json, json};

/// Times of the steps of one reload, or of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Phases {
    /// Listing the directory and reading what has changed.
    pub(crate) read: Duration,
    /// Texts to typed objects.
    pub(crate) parse: Duration,
    /// Objects to what is to be served, and statuses.
    pub(crate) translate: Duration,
    /// The tables that requests are looked up in; in a reload, binding sockets too.
    pub(crate) build: Duration,
    /// Until every worker serves it. None in a check.
    pub(crate) publish: Duration,
    /// Statuses and the memory of the next process, written after that. None in a check.
    pub(crate) tell: Duration,
}

impl Phases {
    /// Each with its name.
    pub(crate) fn named(&self) -> [(&'static str, Duration); 6] {
        let Self { read, parse, translate, build, publish, tell } = *self;
        [
            ("read", read),
            ("parse", parse),
            ("translate", translate),
            ("build", build),
            ("publish", publish),
            ("tell", tell),
        ]
    }

    /// All of them together.
    pub(crate) fn total(&self) -> Duration {
        self.named().iter().map(|(_, time)| *time).sum()
    }

    /// In seconds, with the peak of memory in bytes.
    pub(crate) fn document(&self) -> Json {
        let of_check = &self.named()[..4];
        let mut document: serde_json::Map<String, Json> = of_check
            .iter()
            .map(|(name, time)| (format!("{name}Seconds"), json!(time.as_secs_f64())))
            .collect();
        document.insert("totalSeconds".to_owned(), json!(self.total().as_secs_f64()));
        document.insert("peakMemoryBytes".to_owned(), json!(peak_memory()));
        Json::Object(document)
    }
}

/// What something gives, with the time that it took.
pub(crate) fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let found = what();
    (found, start.elapsed())
}

/// The most memory that the process has held at once, in bytes.
pub(crate) fn peak_memory() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF);
    let kibibytes = usage.map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0));
    kibibytes * 1024
}
