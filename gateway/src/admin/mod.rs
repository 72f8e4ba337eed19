//! The admin page: loopback only, on a thread and a runtime of its own, so that it answers under any load.

mod client;
mod page;
mod server;

pub(crate) use client::ask;
pub(crate) use page::{Pages, is_credential};
pub(crate) use server::Admin;
