//! One line per request and per refused connection.
//!
//! What is never in a line, whatever happens: the values of Authorization, Cookie and Set-Cookie, bodies, and
//! keys. Whatever a client chose is escaped, so that a line is a line.

mod format;
mod json;
mod record;
#[cfg(test)]
mod tests;
mod text;
mod unserved;
mod writer;

use std::sync::mpsc::Sender;

pub(crate) use record::{Names, Record, Upstreamed};
pub(crate) use unserved::{Fate, Unserved};
pub(crate) use writer::Writer;

/// Where lines go.
#[derive(Clone, Debug, Default)]
pub enum Sink {
    /// Standard output.
    #[default]
    Stdout,
    /// One message per line, without its line end.
    Channel(Sender<String>),
    /// Nowhere.
    Off,
}
