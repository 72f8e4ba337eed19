//! From a request that has its rule to the response of a backend: endpoints, connections, pools, attempts.
//!
//! [`send()`] hides which HTTP version a backend speaks. The attempt loop stands above the protocols and owns
//! what may be sent again.

mod connect;
mod http1;
mod http2;
mod loan;
mod multiplexed;
mod pool;
mod resolve;
mod send;
mod tls;
mod verifier;

pub(crate) use http1::{Http1Response, Tunnel};
pub(crate) use http2::Http2Response;
pub(crate) use pool::Pools;
pub(crate) use send::{InFlight, Request, send};
pub(crate) use tls::ClientTls;
