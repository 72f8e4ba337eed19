//! The real binary between network namespaces: one module per promise.
//!
//! Environment: `GATEWAY_BIN`, `ECHO_BIN` and `GATEWAY_BPF_DIR` name what `cargo xtask test` has built.

mod cafe;
mod degraded;
mod drift;
mod ebpf;
mod filters;
mod host;
mod kernel;
mod limits;
mod manifests;
mod policies;
mod privileges;
mod proxy_protocol;
mod reloads;
mod smuggling;
mod syns;
mod upgrades;
