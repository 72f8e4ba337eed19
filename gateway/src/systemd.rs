//! The service manager's protocols: sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3). Where there is no service
//! manager nothing is said, nothing is stored and nothing is expected.

mod notify;
mod store;

pub(crate) use notify::{alive, ready, reloading, stopping, succeeded, watchdog};
pub(crate) use store::{Store, stored};
