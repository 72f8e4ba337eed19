use ir::{Bind, Listener};

use super::answer::Sight;
use crate::kernel;

/// User space's tier.
pub(super) const ACCEPT: &str = "accept";

/// What a client sees where nobody listens.
pub(super) const NOBODY: &str =
    "the client sees what the host says of a closed port: connection refused, most often";

/// What the client of a connection that is let in sees.
pub(super) fn served(is_broken: bool) -> Sight {
    let sees = if is_broken {
        "each request is answered 500: a policy of the listener is no good, and `gateway status` says which"
    } else {
        "its requests are answered"
    };
    Sight { tier: "any".to_owned(), sees: sees.to_owned() }
}

/// What the client of a refused connection sees, by tier.
pub(super) fn refused(bind: &Bind, listener: Option<&Listener>, reason: &str, tiers: &[&str]) -> Vec<Sight> {
    let sight = |tier: &&str| {
        let early = *tier != ACCEPT && kernel::refuses(bind, reason);
        let sees = match (early, kernel::drops(bind, reason)) {
            (true, true) => "no answer: it gives up when its patience ends".to_owned(),
            (true, false) => "connection refused, at once".to_owned(),
            (false, _) => after_accept(listener, reason),
        };
        // A kernel that lets it in leaves it to user space.
        Sight { tier: if early { *tier } else { ACCEPT }.to_owned(), sees }
    };
    let mut all: Vec<Sight> = tiers.iter().map(sight).collect();
    all.dedup();
    all
}

fn after_accept(listener: Option<&Listener>, reason: &str) -> String {
    let delay = listener.and_then(|listener| match reason {
        "over_connection_limit" => listener.client.connection.limit?.close_delay,
        "over_global_limit" | "proxy_untrusted" | "proxy_missing" | "tls_no_listener" => None,
        _ => listener.connection.as_ref()?.action.close_delay(),
    });
    match (reason, delay) {
        (_, Some(delay)) => format!("connected, then closed without a word after {delay:?}"),
        ("tls_no_listener", None) => "connected, then the TLS alert unrecognized_name".to_owned(),
        ("proxy_untrusted" | "proxy_missing", None) => {
            "connected, then closed once its first bytes are read".to_owned()
        }
        (_, None) => "connected, then reset".to_owned(),
    }
}
