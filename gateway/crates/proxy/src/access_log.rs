//! One line per request and per refused connection.

use ir::{AccessLogFormat, ListenerId};

use crate::{refusal::Refusal, sources::Source};

/// Where lines go.
#[derive(Clone, Debug, Default)]
pub enum Sink {
    /// Standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
}

/// The way to the thread that writes. Cloned per worker.
#[derive(Clone)]
pub(crate) struct Writer;

impl Writer {
    /// Starts the writing thread.
    pub(crate) fn start(_sink: Sink) -> Self {
        Self
    }

    /// Writes the line of a refused connection.
    pub(crate) fn refused(
        &self,
        _format: AccessLogFormat,
        _listener: &ListenerId,
        _source: &Source,
        _refusal: Refusal,
    ) {
    }
}
