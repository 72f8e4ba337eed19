//! What is done to every request before it is routed and to every response before it is sent, in one fixed
//! order. Plain functions on a message's head; nothing here waits.

mod client_ip;
mod cors;
mod forwarded;
mod hop_by_hop;
mod path;
mod request_id;
mod request_phase;
pub(crate) mod tlv_headers;
mod underscores;

pub(crate) use cors::{Cors, Fields as CorsFields, Judgement};
pub(crate) use forwarded::X_FORWARDED_PROTO;
pub(crate) use hop_by_hop::strip as strip_hop_by_hop;
pub(crate) use request_id::X_REQUEST_ID;
pub(crate) use request_phase::{Facts, request_phase, response_phase};

use http::{HeaderMap, HeaderName};

/// Removes the fields whose names are meant. Where there are none, it allocates nothing.
fn remove_fields(headers: &mut HeaderMap, is_meant: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| is_meant(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}
