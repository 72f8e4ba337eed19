//! Golden cases: `tests/golden/TOPIC/CASE.in.yaml` holds manifests, `CASE.out.yaml` what they mean: the IR, the
//! status of every object, and the diagnostics. `GATEWAY_BLESS=1` rewrites what is out; read the difference, it is
//! the specification.
//!
//! Where there is a `CASE.before.yaml`, it was read from the same file before: last good. To be readable, the
//! output leaves out settings that have their default, and writes a condition, a match and a backend on one line.

mod golden;
mod order;
mod render;
mod support;
mod unserved;
mod upstreams;
