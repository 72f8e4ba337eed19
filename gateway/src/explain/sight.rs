use ir::{Bind, Listener};
use proxy::explain::Moment;

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

/// A refused connection.
pub(super) struct Refused<'a> {
    pub(super) config: &'a ir::Gateway,
    pub(super) bind: &'a Bind,
    /// `None`: its server name falls under none.
    pub(super) listener: Option<&'a Listener>,
    /// As metrics and logs name it.
    pub(super) reason: &'a str,
    /// When.
    pub(super) moment: Moment,
}

impl Refused<'_> {
    /// What its client sees, by tier.
    pub(super) fn sights(&self, tiers: &[&str]) -> Vec<Sight> {
        let mut all: Vec<Sight> = tiers.iter().map(|tier| self.sight(tier)).collect();
        all.dedup();
        all
    }

    fn sight(&self, tier: &str) -> Sight {
        let Self { config, bind, listener, reason, moment } = self;
        let in_kernel = tier != ACCEPT;
        let (tier, sees) = match moment {
            Moment::Header if in_kernel && kernel::refuses_by_header(bind, config, reason) => {
                (tier, "connected, then reset".to_owned())
            }
            Moment::Accept if in_kernel && kernel::refuses(bind, reason) => {
                let sees = if kernel::drops(bind, reason) {
                    "no answer: it gives up when its patience ends"
                } else {
                    "connection refused, at once"
                };
                (tier, sees.to_owned())
            }
            // A kernel that lets it in leaves it to user space.
            _ => (ACCEPT, after_accept(*listener, reason)),
        };
        Sight { tier: tier.to_owned(), sees }
    }
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
