//! HTTP/2 on the client's side: hyper's, with what it leaves open (RFC 9113 §10.5) closed around it.
//!
//! A connection is one task, which hyper's connection runs in, and each stream is a task of its own, which hyper
//! starts through [`tasks`]. The bytes go through a [`link`] that keeps the books of the connection's frames, in
//! both directions: floods are found there, and what the client has still to take. What a timer ends is a stream's
//! [`watch`] to know, what a whole connection may wait for is the [`serve()`] loop's.

mod framer;
mod helpings;
mod judge;
mod ledger;
mod link;
mod outgoing;
mod serve;
mod service;
mod tasks;
mod watch;

pub(crate) use serve::serve;
