//! The binary as its operator meets it. Each test has directories and ports of its own; waiting is polling
//! against a deadline.

mod admin;
mod backend;
mod check;
mod convert;
mod docs;
mod explain;
mod harness;
mod lifecycle;
mod reload;
mod status;
mod systemd;
mod upgrade;
