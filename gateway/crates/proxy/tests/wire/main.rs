//! The data plane against real sockets on loopback.

mod backend;
mod configure;
mod forwarding;
mod limit;
mod record;
mod reload;
mod routing;
mod rules;
mod tls;
