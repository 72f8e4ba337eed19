//! The parsers under test, one file each, and what must hold for every input.

pub mod h1_request;
pub mod h1_response;
mod http1;
pub mod judge;
mod judge_reference;
pub mod proxy_protocol;
#[path = "../../../../gateway/crates/proxy/src/http/h1/codec/tests/reference.rs"]
mod reference;
pub mod tlvs;
