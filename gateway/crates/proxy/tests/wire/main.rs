//! The data plane against real sockets on loopback.

mod backend;
mod client;
mod configure;
mod connection_policy;
mod floods;
mod forwarding;
mod frames;
mod h2_backend;
mod h2c;
mod http1;
mod http2;
mod http2_drain;
mod http2_timers;
mod limit;
mod proxy_protocol;
mod record;
mod reload;
mod routing;
mod rules;
mod script;
mod sockets;
mod succession;
mod timers;
mod tls;
mod trust;
mod upstream;
