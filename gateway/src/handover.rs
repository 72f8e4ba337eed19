//! One process takes another's place without a refused connection: an upgrade.
//!
//! The running process starts a successor from the file that it was started from itself, which may be a newer one by
//! now, and talks with it over two sockets that nobody else has:
//!
//! ```text
//! predecessor                                  successor
//!   Offer, lock, control, admin, sockets  ──►    reads, translates, takes the pins over, binds what is new
//!                                         ◄──  Ready: it could serve
//!   stops accepting; what is queued waits
//!   what it counts                        ──►    counts it on top of its own, publishes, accepts
//!                                         ◄──  Serving
//!   tells the service manager; Released   ──►    tells it that all is well
//!   finishes its connections, each close  ──►    gives back what the connection counted towards
//! ```
//!
//! Until `Serving` the predecessor goes on where it was if anything fails, and says why. After it, the predecessor ends
//! with its last connection, at the end of its drain time, or with its successor: nobody would count its connections
//! then. Pins, statuses and lock are the successor's.

mod books;
mod channel;
mod control;
mod heir;
mod legacy;
mod message;

pub(crate) use books::Elder;
pub(crate) use control::{Answer, Control, Question, Request, ask};
pub(crate) use heir::{Estate, Heir, Unfinished};
pub(crate) use legacy::{Claim, Legacy};
