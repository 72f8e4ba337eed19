//! HTTP/1 on the client's side, and what both sides share: the codec, the way bytes are read, the way they are
//! written.
//!
//! A connection is one task. It reads a head, runs the exchange (which polls the upstream's connection in the same
//! task), writes the response, and goes on. The body of a request is read by whom it was given to, through a handle
//! to the connection ([`RequestReader`]).

mod client;
pub(crate) mod codec;
pub(crate) mod fill;
mod outbox;
mod pace;
mod reply;
mod serve;
mod tunnel;

pub(crate) use client::RequestReader;
pub(crate) use outbox::Outbox;
pub(crate) use pace::Pace;
pub(crate) use serve::serve;
