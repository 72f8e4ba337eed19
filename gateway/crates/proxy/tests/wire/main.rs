//! The data plane against real sockets on loopback.

mod backend;
mod configure;
mod forwarding;
mod limit;
mod proxy_protocol;
mod record;
mod reload;
mod routing;
mod rules;
mod tls;
